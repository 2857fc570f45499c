package tillwatch.bench;

import java.time.Duration;
import org.apache.flink.cep.CEP;
import org.apache.flink.cep.pattern.Pattern;
import org.apache.flink.cep.pattern.conditions.SimpleCondition;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * Authorize, response, and no print within 30 s, in one process with parallelism 1: by CEP with a side output for what timed out, or by a function
 * written by hand. No broker, no decoding, no checkpoints, state on the heap, objects reused: what Flink can do at best.
 *
 * <p>Arguments: `cep` or `function`, the file of rows, how many of them come before the measurement, the file for the payments found.
 */
public final class Compare {
    private Compare() {}

    public static void main(String[] arguments) throws Exception {
        String path = arguments[1];
        int warm = Integer.parseInt(arguments[2]);
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(1, new Configuration());
        environment.getConfig().enableObjectReuse();
        KeyedStream<Row, Long> rows = environment.addSource(new Rows(path, warm)).returns(Row.class).keyBy(row -> row.payment);
        DataStream<Long> missing = switch (arguments[0]) {
            case "cep" -> byPattern(rows);
            case "function" -> rows.process(new Receipts<>());
            default -> throw new IllegalArgumentException(arguments[0] + " is neither `cep` nor `function`");
        };
        missing.addSink(new Found());
        environment.execute();
        Found.tell(arguments[3], Row.count(Row.open(path)) - warm);
    }

    private static DataStream<Long> byPattern(KeyedStream<Row, Long> rows) {
        Pattern<Row, ?> whole = Pattern.<Row>begin("authorize").where(of(Row.AUTHORIZE))
                .followedBy(Missing.RESPONSE).where(of(Row.RESPONSE))
                .followedBy("print").where(of(Row.PRINT))
                .within(Duration.ofMillis(Receipts.WINDOW_MS));
        return CEP.pattern(rows, whole).inEventTime().process(new Missing()).getSideOutput(Missing.TIMED_OUT);
    }

    private static SimpleCondition<Row> of(int step) {
        return SimpleCondition.of(row -> row.step == step);
    }
}
