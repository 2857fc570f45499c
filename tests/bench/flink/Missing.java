package tillwatch.bench;

import java.util.List;
import java.util.Map;
import org.apache.flink.api.java.functions.KeySelector;
import org.apache.flink.cep.functions.PatternProcessFunction;
import org.apache.flink.cep.functions.TimedOutPartialMatchHandler;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;

/**
 * What timed out after its response is a payment without a receipt; a whole match is none.
 *
 * @param <K> how payments are keyed
 * @param <E> what an event is
 */
final class Missing<K, E extends Row> extends PatternProcessFunction<E, K> implements TimedOutPartialMatchHandler<E> {
    static final String RESPONSE = "response";

    private final KeySelector<E, K> key;
    private final OutputTag<K> timedOut;

    Missing(KeySelector<E, K> key, OutputTag<K> timedOut) {
        this.key = key;
        this.timedOut = timedOut;
    }

    @Override
    public void processMatch(Map<String, List<E>> match, Context context, Collector<K> out) {}

    @Override
    public void processTimedOutMatch(Map<String, List<E>> match, Context context) throws Exception {
        List<E> responses = match.get(RESPONSE);
        if (responses != null) {
            context.output(timedOut, key.getKey(responses.get(0)));
        }
    }
}
