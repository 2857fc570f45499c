package tillwatch.bench;

import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.streaming.api.functions.sink.legacy.RichSinkFunction;

/**
 * Keeps the payments without a receipt in this process, and what it had taken of a core when the last had come.
 *
 * @param <K> how payments are keyed
 */
final class Found<K> extends RichSinkFunction<K> {
    private static final List<Object> PAYMENTS = new ArrayList<>();
    private static volatile long ended;

    @Override
    public void open(OpenContext context) {
        PAYMENTS.clear();
    }

    @Override
    public void invoke(K payment, Context context) {
        PAYMENTS.add(payment);
    }

    @Override
    public void finish() {
        ended = Processor.nanos();
    }

    /** Writes the payments, one a line, and tells events and seconds of the measurement as a line of JSON. */
    static void tell(String path) throws IOException {
        try (BufferedWriter writer = Files.newBufferedWriter(Path.of(path))) {
            for (Object payment : PAYMENTS) {
                writer.write(payment.toString());
                writer.newLine();
            }
        }
        System.out.printf("{\"events\":%d,\"seconds\":%.6f}%n", Rows.measured, (ended - Rows.began) / 1e9);
    }
}
