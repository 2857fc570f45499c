package tillwatch.bench;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.dataformat.cbor.CBORFactory;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.Headers;

/** A CloudEvent in binary mode with a CBOR payload, as far as the receipt of a payment goes. */
record Event(Step step, String payment) {
    /** What happens in a payment. */
    enum Step { AUTHORIZE, RESPONSE, PRINT, OTHER }

    private static final CBORFactory CBOR = new CBORFactory();

    /** Reads headers and payload, all of it: what is not looked at must be well-formed too. */
    static Event read(Headers headers, byte[] data) throws IOException {
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
        Step step = switch (text(headers, "ce_type")) {
            case "pos.payment.authorize" -> Step.AUTHORIZE;
            case "pos.payment.response" -> "terminal".equals(leg) ? Step.RESPONSE : Step.OTHER;
            case "pos.print.result" -> "printed".equals(state) ? Step.PRINT : Step.OTHER;
            default -> Step.OTHER;
        };
        return new Event(step, text(headers, "ce_subject"));
    }

    private static String text(Headers headers, String name) {
        Header header = headers.lastHeader(name);
        return header == null ? "" : new String(header.value(), StandardCharsets.UTF_8);
    }
}
