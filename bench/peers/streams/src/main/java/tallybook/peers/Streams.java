package tallybook.peers;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.KGroupedStream;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindowedKStream;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.WindowStore;

/**
 * Hour, day and month rollups of each series, exactly once:
 *
 * <pre>Streams run BROKERS STATE-DIR COMMIT-MS CALLS ID    until that many calls are in all three
 * Streams check BROKERS STATE-DIR COMMIT-MS CALLS ID  the calls that the stores have, in all</pre>
 */
public final class Streams {
    private static final List<String> STORES = List.of("hours", "days", "months");
    private static final Duration GRACE = Duration.ofDays(40);

    public static void main(String[] args) throws Exception {
        long calls = Long.parseLong(args[4]);
        Streams app = new Streams(args[1], Path.of(args[2]), args[3], args[5]);
        if (args[0].equals("check")) {
            app.check();
        } else {
            app.run(calls);
        }
    }

    private final AtomicLong[] added = {new AtomicLong(), new AtomicLong(), new AtomicLong()};
    private final KafkaStreams streams;

    private Streams(String brokers, Path state, String commitMs, String id) {
        Properties p = new Properties();
        p.put(StreamsConfig.APPLICATION_ID_CONFIG, id);
        p.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, brokers);
        p.put(StreamsConfig.STATE_DIR_CONFIG, state.toString());
        p.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        p.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, commitMs);
        p.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, "2");
        p.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, String.valueOf(256L << 20));
        p.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, "1");
        p.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        p.put(StreamsConfig.producerPrefix("compression.type"), "lz4");
        streams = new KafkaStreams(topology().build(), p);
    }

    private StreamsBuilder topology() {
        StreamsBuilder b = new StreamsBuilder();
        KGroupedStream<String, Call> series = b
            .stream("usage", Consumed.with(Serdes.ByteArray(), Serdes.serdeFrom((t, c) -> null, Call.EVENT))
                .withTimestampExtractor((record, partitionTime) -> record.value() instanceof Call c ? c.time() : Math.max(partitionTime, 0)))
            .filter((key, call) -> call != null)
            .selectKey((key, call) -> call.series())
            .groupByKey(Grouped.with("series", Serdes.String(), Call.SERDE));
        fold(series.windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofHours(1), GRACE)), 0);
        fold(series.windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofDays(1), GRACE)), 1);
        fold(series.windowedBy(new MonthWindows(GRACE.toMillis())), 2);
        return b;
    }

    private void fold(TimeWindowedKStream<String, Call> windows, int n) {
        Materialized<String, Rollup, WindowStore<Bytes, byte[]>> store = Materialized.as(STORES.get(n));
        windows.aggregate(() -> Rollup.NONE, (series, call, rollup) -> {
            added[n].incrementAndGet();
            return rollup.plus(call);
        }, store.withKeySerde(Serdes.String()).withValueSerde(Rollup.SERDE).withCachingEnabled().withRetention(Duration.ofDays(80)));
    }

    private void run(long calls) throws InterruptedException {
        streams.start();
        while (added[0].get() < calls || added[1].get() < calls || added[2].get() < calls) {
            if (streams.state() == KafkaStreams.State.ERROR) System.exit(1);
            Thread.sleep(20);
        }
        streams.close(); // commits what is folded
    }

    private void check() throws InterruptedException {
        CountDownLatch running = new CountDownLatch(1);
        streams.setStateListener((now, before) -> { if (now == KafkaStreams.State.RUNNING) running.countDown(); });
        streams.start();
        running.await();
        for (String name : STORES) {
            long sum = 0, rows = 0;
            try (var all = streams.store(StoreQueryParameters.fromNameAndType(name, QueryableStoreTypes.<String, Rollup>windowStore())).all()) {
                while (all.hasNext()) {
                    sum += all.next().value.count();
                    rows++;
                }
            }
            System.out.printf("%s=%d rows=%d%n", name, sum, rows);
        }
        streams.close();
    }
}
