package tillwatch.bench;

import org.apache.flink.streaming.api.functions.source.legacy.SourceFunction;
import org.apache.flink.streaming.api.watermark.Watermark;

/**
 * The events of a file as a source, as fast as they are taken. A watermark stands behind every 100 ms of the events' time, 500 ms back.
 *
 * @param <E> what an event is
 */
final class Rows<E extends Row> implements SourceFunction<E> {
    private static final long LATENESS_MS = 500;
    private static final long WATERMARK_EVERY_MS = 100;

    /** What this process had taken of a core when the last row before the measurement was handed on, ns; sources and sinks share it. */
    static volatile long began;
    /** How many rows are measured. */
    static volatile int measured;

    private final Events.Opener<E> opener;
    private final String path;
    private final int warm;

    Rows(Events.Opener<E> opener, String path, int warm) {
        this.opener = opener;
        this.path = path;
        this.warm = warm;
    }

    @Override
    public void run(SourceContext<E> context) throws Exception {
        Events<E> rows = opener.open(path);
        measured = rows.count() - warm;
        // What was made to read them is not to be collected while they are measured.
        System.gc();
        long told = Long.MIN_VALUE;
        for (int index = 0; index < rows.count(); index++) {
            if (index == warm) {
                began = Processor.nanos();
            }
            E row = rows.at().apply(index);
            context.collectWithTimestamp(row, row.at);
            if (row.at >= told + WATERMARK_EVERY_MS) {
                told = row.at;
                context.emitWatermark(new Watermark(row.at - LATENESS_MS));
            }
        }
    }

    @Override
    public void cancel() {}
}
