/* The jitter buffer of SpeexDSP on a packet trace.
 *
 * usage: speexdsp TRACE PACKETS
 * TRACE has lines "number arrival_ms", PACKETS are all that were sent. For each 20 ms from the moment
 * the first sample was spoken, a line says what plays: the number of a packet, "-" for one that is to be
 * concealed, "." before the first.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <speex/speex_jitter.h>

enum { PACKET_MS = 20, SAMPLES = 160, AFTER_MS = 1000 };

int main(int count, char **arguments)
{
    FILE *trace = count == 3 ? fopen(arguments[1], "r") : NULL;
    if (!trace) {
        fprintf(stderr, "usage: speexdsp TRACE PACKETS\n");
        return 2;
    }
    long end_ms = atol(arguments[2]) * PACKET_MS + AFTER_MS;
    JitterBuffer *buffer = jitter_buffer_init(SAMPLES);
    spx_uint32_t number;
    double at_ms;
    int waits = fscanf(trace, "%u %lf", &number, &at_ms) == 2;
    int begun = 0;
    for (long ms = 0; ms < end_ms; ms += PACKET_MS) {
        while (waits && at_ms <= ms) {
            JitterBufferPacket packet;
            memset(&packet, 0, sizeof packet);
            packet.data = (char *)&number;
            packet.len = sizeof number;
            packet.timestamp = number * SAMPLES;
            packet.span = SAMPLES;
            packet.sequence = (spx_uint16_t)number;
            jitter_buffer_put(buffer, &packet);
            begun = 1;
            waits = fscanf(trace, "%u %lf", &number, &at_ms) == 2;
        }
        if (!begun) {
            puts(".");
            continue;
        }
        spx_uint32_t played = 0;
        spx_int32_t offset = 0;
        JitterBufferPacket packet;
        memset(&packet, 0, sizeof packet);
        packet.data = (char *)&played;
        packet.len = sizeof played;
        int result = jitter_buffer_get(buffer, &packet, SAMPLES, &offset);
        jitter_buffer_tick(buffer);
        if (result == JITTER_BUFFER_OK)
            printf("%u\n", played);
        else
            puts("-");
    }
    jitter_buffer_destroy(buffer);
    fclose(trace);
    return 0;
}
