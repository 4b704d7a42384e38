//! Every variant against the switch type of libpri that is meant to be the same.

use trunkline_isdn::{BearerCapability, Indication, Request, Setup, TransferCapability, Variant};

use super::basic_call::{SIDES, call_in, cause_of_ours, setup};
use super::peer::Line;

/// libpri has no INS1500; EuroISDN on a T1 is what comes nearest.
const VARIANTS: [(Variant, &str); 7] = [
    (Variant::EURO_ISDN, "euroisdn_e1"),
    (Variant::INS_1500, "euroisdn_t1"),
    (Variant::NI_2, "ni2"),
    (Variant::DMS_100, "dms100"),
    (Variant::ESS_4, "4ess"),
    (Variant::ESS_5, "5ess"),
    (Variant::QSIG, "qsig"),
];

#[test]
fn calls_go_both_ways_in_every_variant_and_on_either_side() {
    for (variant, switch_type) in VARIANTS {
        for side in SIDES {
            let Some(mut line) = Line::up(side, variant, switch_type, &[]) else { return };
            let channel = *variant.b_channels.last().expect("B channels");
            let bearer = BearerCapability {
                transfer: TransferCapability::Speech,
                user_layer_1: Some(variant.user_layer_1),
            };
            let call = line.setup(&Setup { bearer, ..setup(channel) });
            let ring = line.event("ring");
            assert_eq!(ring.number("channel"), i64::from(channel), "{switch_type} {side:?}");
            assert_eq!(ring.number("layer1"), 0x20 | i64::from(variant.user_layer_1));
            assert_eq!(ring.text("called"), "333331234", "{switch_type} {side:?}");
            let number = ring.number("call");
            line.command(&format!("proceed {number} {channel}"));
            assert_eq!(line.indication(), (call, Indication::Proceeding { in_band: false }));
            line.command(&format!("answer {number} {channel}"));
            assert_eq!(line.indication(), (call, Indication::Connect));
            line.command(&format!("hangup {number} 16"));
            assert_eq!(cause_of_ours(&mut line, call).value, 16, "{switch_type} {side:?}");
            line.settle();

            let call = call_in(&mut line, channel);
            // Nothing crosses DISCONNECT.
            line.settle();
            line.ask(call, Request::Disconnect { cause: 31, in_band: false });
            cause_of_ours(&mut line, call);
            assert_eq!(line.ours.counters().messages_refused, 0, "{switch_type} {side:?}");
            assert_eq!(line.ours.counters().statuses_sent, 0, "{switch_type} {side:?}");
        }
    }
}
