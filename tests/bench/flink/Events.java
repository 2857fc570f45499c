package tillwatch.bench;

import java.io.IOException;
import java.io.Serializable;
import java.util.function.IntFunction;

/**
 * The events of a file.
 *
 * @param count how many there are
 * @param at the one in a place
 */
record Events<E>(int count, IntFunction<E> at) {
    /** How a file is opened, in the process that runs the source. */
    interface Opener<E> extends Serializable {
        Events<E> open(String path) throws IOException;
    }
}
