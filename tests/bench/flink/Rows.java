package tillwatch.bench;

import java.nio.ByteBuffer;
import org.apache.flink.streaming.api.functions.source.legacy.SourceFunction;
import org.apache.flink.streaming.api.watermark.Watermark;

/** The rows of a file as a source, as fast as they are taken. A watermark stands behind every 100 ms of the events' time, 500 ms back. */
final class Rows implements SourceFunction<Row> {
    private static final long LATENESS_MS = 500;
    private static final long WATERMARK_EVERY_MS = 100;

    /** What this process had taken of a core when the last row before the measurement was handed on, ns; sources and sinks share it. */
    static volatile long began;

    private final String path;
    private final int warm;

    Rows(String path, int warm) {
        this.path = path;
        this.warm = warm;
    }

    @Override
    public void run(SourceContext<Row> context) throws Exception {
        ByteBuffer rows = Row.open(path);
        long told = Long.MIN_VALUE;
        for (int index = 0; index < Row.count(rows); index++) {
            if (index == warm) {
                began = Processor.nanos();
            }
            Row row = Row.read(rows, index);
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
