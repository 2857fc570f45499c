package tillwatch.bench;

import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.dataformat.cbor.CBORFactory;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;

/** One event with all that its record says, as `tillwatch_bench::traffic::write_whole` writes it. */
public class Whole extends Row {
    private static final CBORFactory CBOR = new CBORFactory();

    public String id;
    public String source;
    public String type;
    public String subject;
    public String region;
    public String site;
    public String terminalId;
    public String merchant;
    public String acquirer;
    public String rail;
    public String appVersion;
    public String currency;
    public String stan;
    public String batch;
    public String leg;
    public String outcome;
    public String code;
    public String rrn;
    public String shown;
    public String state;
    public long amount;

    public Whole() {}

    /** All records of a file, decoded: decoding is no part of what is measured. */
    static Events<Whole> openWhole(String path) throws IOException {
        ByteBuffer records = map(path);
        List<Whole> events = new ArrayList<>();
        while (records.hasRemaining()) {
            events.add(decode(records));
        }
        return new Events<>(events.size(), events::get);
    }

    private static Whole decode(ByteBuffer records) throws IOException {
        Whole event = new Whole();
        event.at = records.getLong();
        event.id = text(records);
        event.source = text(records);
        event.type = text(records).intern();
        event.subject = text(records);
        try (JsonParser parser = CBOR.createParser(piece(records))) {
            while (parser.nextToken() != null) {
                if (parser.currentToken() == JsonToken.FIELD_NAME) {
                    String name = parser.currentName();
                    parser.nextToken();
                    event.take(name, parser);
                }
            }
        }
        event.step = step(event.type, event.leg, event.state);
        return event;
    }

    /** Words that nearly all events share are kept once. */
    private void take(String name, JsonParser parser) throws IOException {
        switch (name) {
            case "amount" -> amount = parser.getLongValue();
            case "region" -> region = parser.getText().intern();
            case "site" -> site = parser.getText();
            case "terminal" -> terminalId = parser.getText();
            case "merchant" -> merchant = parser.getText();
            case "acquirer" -> acquirer = parser.getText().intern();
            case "rail" -> rail = parser.getText().intern();
            case "app_version" -> appVersion = parser.getText().intern();
            case "currency" -> currency = parser.getText().intern();
            case "stan" -> stan = parser.getText();
            case "batch" -> batch = parser.getText().intern();
            case "leg" -> leg = parser.getText().intern();
            case "outcome" -> outcome = parser.getText().intern();
            case "code" -> code = parser.getText().intern();
            case "rrn" -> rrn = parser.getText();
            case "shown" -> shown = parser.getText().intern();
            case "state" -> state = parser.getText().intern();
            default -> throw new IOException("an event says `" + name + "`, which is not read");
        }
    }

    /** A piece behind its length. */
    private static byte[] piece(ByteBuffer records) {
        byte[] piece = new byte[Short.toUnsignedInt(records.getShort())];
        records.get(piece);
        return piece;
    }

    private static String text(ByteBuffer records) {
        return new String(piece(records), StandardCharsets.UTF_8);
    }
}
