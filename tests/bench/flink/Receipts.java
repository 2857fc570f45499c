package tillwatch.bench;

import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.util.Collector;

/**
 * The same by hand: one state and one timer a payment.
 *
 * @param <K> how payments are keyed
 * @param <E> what an event is
 */
final class Receipts<K, E extends Row> extends KeyedProcessFunction<K, E, K> {
    static final long WINDOW_MS = 30_000;
    private static final long UNANSWERED = Long.MIN_VALUE;

    /** The deadline of the receipt; `UNANSWERED` before the response. */
    private transient ValueState<Long> deadline;

    @Override
    public void open(OpenContext context) {
        deadline = getRuntimeContext().getState(new ValueStateDescriptor<>("deadline", Long.class));
    }

    @Override
    public void processElement(E row, Context context, Collector<K> out) throws Exception {
        switch (row.step) {
            case Row.AUTHORIZE -> deadline.update(UNANSWERED);
            case Row.RESPONSE -> {
                if (deadline.value() != null) {
                    long due = row.at + WINDOW_MS;
                    deadline.update(due);
                    context.timerService().registerEventTimeTimer(due);
                }
            }
            case Row.PRINT -> {
                Long due = deadline.value();
                if (due != null && due != UNANSWERED) {
                    context.timerService().deleteEventTimeTimer(due);
                }
                deadline.clear();
            }
            default -> {}
        }
    }

    @Override
    public void onTimer(long at, OnTimerContext context, Collector<K> out) throws Exception {
        deadline.clear();
        out.collect(context.getCurrentKey());
    }
}
