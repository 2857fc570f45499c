package tillwatch.bench;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.KeyValueStore;

/** Authorize, response, and no print within 30 s: one entry a payment, and a punctuator on stream time that looks for those that are due. */
final class Receipts implements Processor<byte[], byte[], String, byte[]> {
    static final String STORE = "deadlines";
    private static final long WINDOW_MS = 30_000;
    private static final Duration LOOK_EVERY = Duration.ofSeconds(1);
    private static final long UNANSWERED = Long.MAX_VALUE;
    private static final byte[] NOT_PRINTED = "not-printed".getBytes(java.nio.charset.StandardCharsets.UTF_8);

    private ProcessorContext<String, byte[]> context;
    private KeyValueStore<String, Long> deadlines;

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
        this.context = context;
        deadlines = context.getStateStore(STORE);
        context.schedule(LOOK_EVERY, PunctuationType.STREAM_TIME, this::look);
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
        if (record.value() == null) {
            return;
        }
        Event event;
        try {
            event = Event.read(record.headers(), record.value());
        } catch (IOException error) {
            throw new UncheckedIOException(error);
        }
        switch (event.step()) {
            case AUTHORIZE -> deadlines.put(event.payment(), UNANSWERED);
            case RESPONSE -> {
                if (deadlines.get(event.payment()) != null) {
                    deadlines.put(event.payment(), record.timestamp() + WINDOW_MS);
                }
            }
            case PRINT -> deadlines.delete(event.payment());
            case OTHER -> {}
        }
    }

    private void look(long now) {
        List<String> due = new ArrayList<>();
        try (KeyValueIterator<String, Long> all = deadlines.all()) {
            while (all.hasNext()) {
                KeyValue<String, Long> entry = all.next();
                if (entry.value < now) {
                    due.add(entry.key);
                }
            }
        }
        for (String payment : due) {
            deadlines.delete(payment);
            context.forward(new Record<>(payment, NOT_PRINTED, now));
        }
    }
}
