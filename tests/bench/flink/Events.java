package tillwatch.bench;

import java.io.IOException;
import java.io.Serializable;

/** The events of a file, at hand before they are measured. */
interface Events<E> {
    int count();

    E at(int index);

    /** How a file is opened, in the process that runs the source. */
    interface Opener<E> extends Serializable {
        Events<E> open(String path) throws IOException;
    }
}
