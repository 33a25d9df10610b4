package tallybook.peers;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.time.Instant;
import org.apache.kafka.common.serialization.Deserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;

/** What an api.request adds to its series. Quantity and latency are in thousandths, time in ms. */
record Call(String series, long time, long quantity, boolean timed, long latency, long bytes) {
    private static final JsonFactory JSON = new JsonFactory();

    /** Reads an event in one pass; null where it is none. */
    static Call parse(byte[] event) {
        String account = null, type = null, at = null;
        String[] dims = new String[6]; // api, version, endpoint, method, status, region
        long quantity = 1000, latency = 0, bytes = 0;
        boolean timed = false;
        try (JsonParser p = JSON.createParser(event)) {
            if (p.nextToken() != JsonToken.START_OBJECT) return null;
            for (int depth = 1; depth > 0; ) {
                JsonToken t = p.nextToken();
                if (t == null) return null;
                if (t == JsonToken.END_OBJECT) {
                    depth--;
                    continue;
                }
                String name = p.currentName();
                t = p.nextToken();
                if (depth == 1) {
                    switch (name) {
                        case "subject" -> account = p.getText();
                        case "type" -> type = p.getText();
                        case "time" -> at = p.getText();
                        case "data" -> {
                            if (t != JsonToken.START_OBJECT) return null;
                            depth = 2;
                        }
                        default -> p.skipChildren();
                    }
                    continue;
                }
                switch (name) {
                    case "api" -> dims[0] = p.getText();
                    case "version" -> dims[1] = p.getText();
                    case "endpoint" -> dims[2] = p.getText();
                    case "method" -> dims[3] = p.getText();
                    case "status" -> dims[4] = p.getText();
                    case "region" -> dims[5] = p.getText();
                    case "quantity" -> quantity = thousandths(p);
                    case "bytes" -> bytes = p.getLongValue();
                    case "latency_ms" -> {
                        latency = thousandths(p);
                        timed = true;
                    }
                    default -> p.skipChildren();
                }
            }
            if (account == null || at == null || !"api.request".equals(type)) return null;
            return new Call(account + '|' + String.join("|", dims), Instant.parse(at).toEpochMilli(), quantity, timed, latency, bytes);
        } catch (IOException | RuntimeException refused) {
            return null;
        }
    }

    private static long thousandths(JsonParser p) throws IOException {
        return p.getDecimalValue().movePointRight(3).longValueExact();
    }

    static final Deserializer<Call> EVENT = (topic, event) -> event == null ? null : parse(event);

    /** The form between the two halves of the topology; the series is the record's key there. */
    static final Serde<Call> SERDE = Serdes.serdeFrom(
        (topic, c) -> ByteBuffer.allocate(33).putLong(c.time).putLong(c.quantity).put((byte) (c.timed ? 1 : 0)).putLong(c.latency).putLong(c.bytes).array(),
        (topic, b) -> {
            ByteBuffer in = ByteBuffer.wrap(b);
            return new Call(null, in.getLong(), in.getLong(), in.get() == 1, in.getLong(), in.getLong());
        });
}
