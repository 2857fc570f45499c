package tillwatch.bench;

import java.time.Duration;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.KafkaRecordSerializationSchema;
import org.apache.flink.connector.kafka.sink.KafkaSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

/**
 * Kafka to Kafka with Flink: its Kafka source and sink, exactly once, the function written by hand between them, parallelism 1, objects reused, state
 * on the heap, a checkpoint a second to a folder. Runs until it is killed.
 *
 * <p>Arguments: brokers, consumer group, input topic, output topic, folder for checkpoints.
 */
public final class Kafka {
    private static final Duration LATENESS = Duration.ofMillis(500);
    private static final Duration CHECKPOINT_EVERY = Duration.ofSeconds(1);

    private Kafka() {}

    public static void main(String[] arguments) throws Exception {
        Configuration configuration = new Configuration();
        configuration.set(CheckpointingOptions.CHECKPOINTING_INTERVAL, CHECKPOINT_EVERY);
        configuration.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, "file://" + arguments[4]);
        StreamExecutionEnvironment environment = StreamExecutionEnvironment.createLocalEnvironment(1, configuration);
        environment.getConfig().enableObjectReuse();
        environment
                .fromSource(source(arguments), WatermarkStrategy.forBoundedOutOfOrderness(LATENESS), "events")
                .keyBy(event -> event.subject)
                .process(new Receipts<String, Event>())
                .sinkTo(sink(arguments));
        environment.execute();
    }

    private static KafkaSource<Event> source(String[] arguments) {
        return KafkaSource.<Event>builder()
                .setBootstrapServers(arguments[0])
                .setGroupId(arguments[1])
                .setTopics(arguments[2])
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setDeserializer(new Event.Reader())
                .setProperty("isolation.level", "read_committed")
                .setProperty("max.poll.records", "10000")
                .build();
    }

    private static KafkaSink<String> sink(String[] arguments) {
        return KafkaSink.<String>builder()
                .setBootstrapServers(arguments[0])
                .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
                .setTransactionalIdPrefix(arguments[1])
                .setProperty("transaction.timeout.ms", "60000")
                .setRecordSerializer(KafkaRecordSerializationSchema.<String>builder()
                        .setTopic(arguments[3])
                        .setKeySerializationSchema(new SimpleStringSchema())
                        .setValueSerializationSchema(new SimpleStringSchema())
                        .build())
                .build();
    }
}
