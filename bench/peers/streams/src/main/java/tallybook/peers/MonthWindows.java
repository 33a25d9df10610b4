package tallybook.peers;

import java.time.Instant;
import java.time.YearMonth;
import java.time.ZoneOffset;
import java.util.Map;
import org.apache.kafka.streams.kstream.Windows;
import org.apache.kafka.streams.kstream.internals.TimeWindow;

/** Calendar months in UTC, which Kafka Streams has no windows for. */
final class MonthWindows extends Windows<TimeWindow> {
    private final long graceMs;

    MonthWindows(long graceMs) {
        this.graceMs = graceMs;
    }

    @Override
    public Map<Long, TimeWindow> windowsFor(long timestamp) {
        YearMonth month = YearMonth.from(Instant.ofEpochMilli(timestamp).atOffset(ZoneOffset.UTC));
        long start = startOf(month);
        return Map.of(start, new TimeWindow(start, startOf(month.plusMonths(1))));
    }

    private static long startOf(YearMonth month) {
        return month.atDay(1).atStartOfDay(ZoneOffset.UTC).toInstant().toEpochMilli();
    }

    @Override
    public long size() {
        return 31L * 24 * 3600 * 1000;
    }

    @Override
    public long gracePeriodMs() {
        return graceMs;
    }
}
