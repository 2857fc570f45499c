package tillwatch.bench;

import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka to Kafka with Kafka Streams: exactly_once_v2, commits every 100 ms, one thread, state in memory with its changelog, caching on. Runs until
 * it is killed.
 *
 * <p>Arguments: brokers, application id, input topic, output topic, folder for state.
 */
public final class Streams {
    private Streams() {}

    public static void main(String[] arguments) {
        Properties properties = new Properties();
        properties.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments[0]);
        properties.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments[1]);
        properties.put(StreamsConfig.STATE_DIR_CONFIG, arguments[4]);
        properties.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        properties.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 100);
        properties.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        properties.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        properties.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
        properties.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 64L << 20);
        KafkaStreams streams = new KafkaStreams(topology(arguments[2], arguments[3]), properties);
        Runtime.getRuntime().addShutdownHook(new Thread(streams::close));
        streams.start();
    }

    private static Topology topology(String input, String output) {
        var deadlines = Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(Receipts.STORE), Serdes.String(), Serdes.Long())
                .withCachingEnabled();
        return new Topology()
                .addSource("events", Serdes.ByteArray().deserializer(), Serdes.ByteArray().deserializer(), input)
                .addProcessor("receipts", Receipts::new, "events")
                .addStateStore(deadlines, "receipts")
                .addSink("findings", output, Serdes.String().serializer(), Serdes.ByteArray().serializer(), "receipts");
    }
}
