// WebRTC's NetEQ on a packet trace, in 10 ms of a simulated clock.
//
// usage: neteq TRACE ALAW HEARD
// TRACE has lines "number arrival_ms", ALAW is what was sent in packets of 160 octets; HEARD will be
// signed 16-bit samples at 8 kHz. Says "ns" and the processor time.
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <iostream>
#include <iterator>
#include <vector>

#include "api/audio/audio_frame.h"
#include "api/audio_codecs/builtin_audio_decoder_factory.h"
#include "api/rtp_headers.h"
#include "modules/audio_coding/neteq/default_neteq_factory.h"
#include "system_wrappers/include/clock.h"

namespace {

constexpr int kSamples = 160, kTickMs = 10, kAfterMs = 1000, kPcma = 8;

long long NowNs() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 4) {
    std::cerr << "usage: neteq TRACE ALAW HEARD\n";
    return 2;
  }
  std::ifstream trace(arguments[1]), file(arguments[2], std::ios::binary);
  const std::vector<uint8_t> alaw{std::istreambuf_iterator<char>(file), {}};
  std::ofstream heard(arguments[3], std::ios::binary);

  webrtc::SimulatedClock clock(1'000'000'000);
  webrtc::NetEq::Config config;
  config.sample_rate_hz = 8000;
  auto neteq = webrtc::DefaultNetEqFactory().CreateNetEq(
      config, webrtc::CreateBuiltinAudioDecoderFactory(), &clock);
  neteq->RegisterPayloadType(kPcma, webrtc::SdpAudioFormat("PCMA", 8000, 1));

  struct Arrival {
    uint32_t number;
    double at_ms;
  };
  std::vector<Arrival> arrivals;
  for (Arrival next; trace >> next.number >> next.at_ms;) arrivals.push_back(next);

  auto next = arrivals.begin();
  long long took_ns = 0;
  const long end_ms = static_cast<long>(alaw.size() / 8) + kAfterMs;
  for (long ms = 0; ms < end_ms; ms += kTickMs) {
    const long long began_ns = NowNs();
    for (; next != arrivals.end() && next->at_ms <= ms; ++next) {
      const size_t from = size_t{next->number} * kSamples;
      if (from + kSamples > alaw.size()) continue;
      webrtc::RTPHeader header;
      header.payloadType = kPcma;
      header.sequenceNumber = static_cast<uint16_t>(next->number);
      header.timestamp = next->number * kSamples;
      header.ssrc = 1;
      neteq->InsertPacket(header, {alaw.data() + from, size_t{kSamples}});
    }
    webrtc::AudioFrame frame;
    bool muted = false;
    neteq->GetAudio(&frame, &muted);
    took_ns += NowNs() - began_ns;
    heard.write(reinterpret_cast<const char*>(frame.data()), frame.samples_per_channel_ * 2);
    clock.AdvanceTimeMilliseconds(kTickMs);
  }
  std::cout << "ns " << took_ns << "\n";
  return heard.good() ? 0 : 1;
}
