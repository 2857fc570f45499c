package tillwatch.bench;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Path;

/** One event as plain numbers: what `tillwatch_bench::traffic::write` writes. Public fields and no arguments: Flink's POJO serializer takes it. */
public class Row {
    public static final int OTHER = -1;
    public static final int AUTHORIZE = 0;
    public static final int RESPONSE = 2;
    public static final int PRINT = 4;
    /** Bytes of a row in a file: s64 time in ms, u64 payment, u32 terminal, u32 step, little-endian. */
    private static final int BYTES = 24;

    public long at;
    public long payment;
    public int terminal;
    public int step;

    public Row() {}

    /** A file of rows, each made when it is wanted. */
    static Events<Row> open(String path) throws IOException {
        ByteBuffer rows = map(path);
        return new Events<>(rows.limit() / BYTES, index -> read(rows, index * BYTES));
    }

    /** What an event of a type is for the receipt, by what its `data` says. */
    static int step(String type, String leg, String state) {
        return switch (type) {
            case "pos.payment.authorize" -> AUTHORIZE;
            case "pos.payment.response" -> "terminal".equals(leg) ? RESPONSE : OTHER;
            case "pos.print.result" -> "printed".equals(state) ? PRINT : OTHER;
            default -> OTHER;
        };
    }

    /** A file in memory. */
    static ByteBuffer map(String path) throws IOException {
        try (FileChannel channel = FileChannel.open(Path.of(path))) {
            return channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size()).order(ByteOrder.LITTLE_ENDIAN);
        }
    }

    private static Row read(ByteBuffer rows, int start) {
        Row row = new Row();
        row.at = rows.getLong(start);
        row.payment = rows.getLong(start + 8);
        row.terminal = rows.getInt(start + 16);
        row.step = rows.getInt(start + 20);
        return row;
    }
}
