package tillwatch.bench;

import java.util.List;
import java.util.Map;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.cep.functions.PatternProcessFunction;
import org.apache.flink.cep.functions.TimedOutPartialMatchHandler;
import org.apache.flink.util.Collector;
import org.apache.flink.util.OutputTag;

/** What timed out after its response is a payment without a receipt; a whole match is none. */
final class Missing extends PatternProcessFunction<Row, Long> implements TimedOutPartialMatchHandler<Row> {
    static final String RESPONSE = "response";
    static final OutputTag<Long> TIMED_OUT = new OutputTag<>("timed-out", Types.LONG);

    @Override
    public void processMatch(Map<String, List<Row>> match, Context context, Collector<Long> out) {}

    @Override
    public void processTimedOutMatch(Map<String, List<Row>> match, Context context) {
        List<Row> responses = match.get(RESPONSE);
        if (responses != null) {
            context.output(TIMED_OUT, responses.get(0).payment);
        }
    }
}
