//! Channels go out of service and back by SERVICE, where the variant has it.

use trunkline_isdn::{Output, ServiceState};

use super::peer::on_interfaces;

#[test]
fn either_end_takes_channels_out_of_service_and_back() {
    on_interfaces(
        |variant| variant.service.is_some(),
        &["service"],
        |line| {
            assert_eq!(line.other(), Output::LinkUp);
            for (state, number) in [
                (ServiceState::OutOfService, 2),
                (ServiceState::Maintenance, 1),
                (ServiceState::InService, 0),
            ] {
                line.command(&format!("service 5 {number}"));
                let told = Output::Service { channel: 5, state, acknowledged: false };
                assert_eq!(line.other(), told);
                let acknowledged = line.event("service_ack");
                assert_eq!(acknowledged.number("channel"), 5);

                let now = line.now();
                line.ours.announce_service(now, 6, state).expect("the variant has it");
                let told = line.event("service");
                assert_eq!((told.number("channel"), told.number("status")), (6, number));
                let acknowledged = Output::Service { channel: 6, state, acknowledged: true };
                assert_eq!(line.other(), acknowledged);
            }
        },
    );
}
