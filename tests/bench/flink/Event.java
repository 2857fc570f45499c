package tillwatch.bench;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.dataformat.cbor.CBORFactory;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.connector.kafka.source.reader.deserializer.KafkaRecordDeserializationSchema;
import org.apache.flink.util.Collector;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;

/** A CloudEvent in binary mode with a CBOR payload, as far as the receipt of a payment goes. */
public class Event extends Row {
    /** The transaction key. */
    public String subject;

    public Event() {}

    /** From a record; its timestamp becomes the event's by itself. A record that says nothing here, as a tick, is left out. */
    static final class Reader implements KafkaRecordDeserializationSchema<Event> {
        private static final long serialVersionUID = 1;
        private static final CBORFactory CBOR = new CBORFactory();

        @Override
        public void deserialize(ConsumerRecord<byte[], byte[]> message, Collector<Event> out) throws IOException {
            if (message.value() != null) {
                out.collect(read(message.headers(), message.value(), message.timestamp()));
            }
        }

        @Override
        public TypeInformation<Event> getProducedType() {
            return TypeInformation.of(Event.class);
        }

        /** Reads headers and payload, all of it: what is not looked at must be well-formed too. */
        private static Event read(Headers headers, byte[] data, long at) throws IOException {
            String leg = null;
            String state = null;
            try (JsonParser parser = CBOR.createParser(data)) {
                while (parser.nextToken() != null) {
                    if (parser.currentToken() == JsonToken.FIELD_NAME) {
                        String name = parser.currentName();
                        parser.nextToken();
                        switch (name) {
                            case "leg" -> leg = parser.getText();
                            case "state" -> state = parser.getText();
                            default -> {}
                        }
                    }
                }
            }
            Event event = new Event();
            event.at = at;
            event.subject = text(headers, "ce_subject");
            event.step = step(text(headers, "ce_type"), leg, state);
            return event;
        }

        private static String text(Headers headers, String name) {
            Header header = headers.lastHeader(name);
            return header == null ? "" : new String(header.value(), StandardCharsets.UTF_8);
        }
    }
}
