package tallybook.peers;

import java.nio.ByteBuffer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** The numbers of a series in a window. */
record Rollup(long count, long quantity, long timed, long latency, long least, long greatest, long bytes) {
    static final Rollup NONE = new Rollup(0, 0, 0, 0, Long.MAX_VALUE, Long.MIN_VALUE, 0);

    Rollup plus(Call c) {
        return new Rollup(count + 1, quantity + c.quantity(), timed + (c.timed() ? 1 : 0), latency + c.latency(),
            c.timed() ? Math.min(least, c.latency()) : least, c.timed() ? Math.max(greatest, c.latency()) : greatest, bytes + c.bytes());
    }

    static final Serde<Rollup> SERDE = Serdes.serdeFrom(
        (topic, r) -> r == null ? null : ByteBuffer.allocate(56).putLong(r.count).putLong(r.quantity).putLong(r.timed).putLong(r.latency)
            .putLong(r.least).putLong(r.greatest).putLong(r.bytes).array(),
        (topic, b) -> {
            if (b == null) return null;
            ByteBuffer in = ByteBuffer.wrap(b);
            return new Rollup(in.getLong(), in.getLong(), in.getLong(), in.getLong(), in.getLong(), in.getLong(), in.getLong());
        });
}
