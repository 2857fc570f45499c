package tillwatch.bench;

import java.time.Duration;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.cep.CEP;
import org.apache.flink.cep.pattern.Pattern;
import org.apache.flink.cep.pattern.conditions.SimpleCondition;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.KeyedStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.util.OutputTag;

/**
 * Authorize, response, and no print within 30 s, in one process with parallelism 1: by CEP with a side output for what timed out, or by a function
 * written by hand. No broker, no decoding, no checkpoints, state on the heap, objects reused: what Flink can do at best.
 *
 * <p>Arguments: `cep` or `function`, `rows` or `whole` for what the events are, their file, how many of them come before the measurement, the file
 * for the payments found.
 */
public final class Compare {
    private Compare() {}

    public static void main(String[] arguments) throws Exception {
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(1, new Configuration());
        environment.getConfig().enableObjectReuse();
        switch (arguments[1]) {
            case "rows" -> compare(environment, arguments, Row::open, Row.class, row -> row.payment, Types.LONG);
            case "whole" -> compare(environment, arguments, Whole::openWhole, Whole.class, event -> event.subject, Types.STRING);
            default -> throw new IllegalArgumentException(arguments[1] + " is neither `rows` nor `whole`");
        }
        environment.execute();
        Found.tell(arguments[4]);
    }

    private static <K, E extends Row> void compare(
            StreamExecutionEnvironment environment,
            String[] arguments,
            Events.Opener<E> opener,
            Class<E> event,
            KeySelector<E, K> key,
            TypeInformation<K> keys) {
        Rows<E> source = new Rows<>(opener, arguments[2], Integer.parseInt(arguments[3]));
        KeyedStream<E, K> events = environment.addSource(source).returns(event).keyBy(key, keys);
        DataStream<K> missing = switch (arguments[0]) {
            case "cep" -> byPattern(events, key, keys);
            case "function" -> events.process(new Receipts<K, E>(), keys);
            default -> throw new IllegalArgumentException(arguments[0] + " is neither `cep` nor `function`");
        };
        missing.addSink(new Found<>());
    }

    private static <K, E extends Row> DataStream<K> byPattern(
            KeyedStream<E, K> events, KeySelector<E, K> key, TypeInformation<K> keys) {
        Pattern<E, ?> whole = Pattern.<E>begin("authorize").where(of(Row.AUTHORIZE))
                .followedBy(Missing.RESPONSE).where(of(Row.RESPONSE))
                .followedBy("print").where(of(Row.PRINT))
                .within(Duration.ofMillis(Receipts.WINDOW_MS));
        OutputTag<K> timedOut = new OutputTag<>("timed-out", keys);
        return CEP.pattern(events, whole)
                .inEventTime()
                .process(new Missing<>(key, timedOut), keys)
                .getSideOutput(timedOut);
    }

    private static <E extends Row> SimpleCondition<E> of(int step) {
        return SimpleCondition.of(row -> row.step == step);
    }
}
