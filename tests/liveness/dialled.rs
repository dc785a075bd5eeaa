//! The rules of the dialling role, each tested in as few steps as possible.

use crate::client::Acknowledging;
use crate::known::world;
use crate::run::{Run, on_paused_time};
use crate::shape::Shape;

/// Client 0 is a server to which `t/0` is forwarded; the others are clients.
fn with_server(keep_alive: u16) -> Run {
    world(Shape::calm(), 2, |server| {
        server.keep_alive = keep_alive;
        server.is_to_be_dialled(&[("t/0", 2)]);
    })
}

impl Run {
    async fn seconds_pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.time_passes(1_000).await;
            self.rest();
        }
    }
}

#[test]
fn what_the_session_is_subscribed_to_goes_to_the_server_and_what_comes_is_published() {
    on_paused_time(async {
        let mut run = with_server(0);
        run.all_connect();
        run.subscribe(1, "u/0", 2);
        for qos in 0..=2 {
            run.publish(1, "t/0", qos, 10);
            run.publish(0, "u/0", qos, 10);
        }
        run.is_over();
        assert_eq!(run.model.received, 6);
    });
}

#[test]
fn mqtt_3_1_2_20_a_quiet_connection_is_pinged_within_its_keep_alive() {
    on_paused_time(async {
        let mut run = with_server(4);
        run.all_connect();
        run.seconds_pass(20).await;
        assert!((5..=7).contains(&run.clients[0].pinged()), "{}", run.clients[0].pinged());
        assert!(run.clients[0].connected);
    });
}

#[test]
fn a_server_that_answers_nothing_for_one_and_a_half_keep_alives_is_given_up() {
    on_paused_time(async {
        let mut run = with_server(4);
        run.all_connect();
        run.clients[0].answers(false);
        run.seconds_pass(5).await;
        assert!(run.clients[0].connected);
        run.seconds_pass(2).await;
        assert!(!run.clients[0].connected);
    });
}

#[test]
fn a_server_that_sends_no_suback_is_given_up_and_nothing_is_sent_to_it_before() {
    on_paused_time(async {
        let mut run = with_server(0);
        run.clients[0].answers(false);
        run.connect(0);
        run.connect(1);
        run.rest();
        run.publish(1, "t/0", 1, 10);
        run.seconds_pass(9).await;
        assert!(run.clients[0].connected);
        assert_eq!(run.model.received, 0);
        run.seconds_pass(2).await;
        assert!(!run.clients[0].connected);
        // The message was queued meanwhile.
        run.clients[0].answers(true);
        run.connect(0);
        run.rest();
        assert_eq!(run.model.received, 1);
    });
}

#[test]
fn a_packet_id_of_a_session_that_the_server_has_lost_stands_for_a_new_message() {
    on_paused_time(async {
        let mut run = with_server(0);
        run.all_connect();
        run.subscribe(1, "u/0", 2);
        run.publish(0, "u/0", 2, 10);
        // Before it receives PUBREC.
        run.move_bytes(0);
        let number = run.clients[0].wire.as_ref().expect("a connection").number;
        run.engine.poll(number);
        run.clients[0].lost(&mut run.model).expect("a connection").end.close();
        run.rest();
        run.clients[0].forgets_session();
        run.connect(0);
        run.rest();
        run.publish(0, "u/0", 2, 10);
        run.is_over();
        assert_eq!(run.model.received, 2);
    });
}

#[test]
fn what_the_server_has_not_acknowledged_is_sent_again_by_the_next_connection() {
    on_paused_time(async {
        let mut run = with_server(0);
        run.all_connect();
        run.clients[0].acknowledging = Acknowledging::Never;
        run.publish(1, "t/0", 1, 10);
        run.rest();
        run.clients[0].lost(&mut run.model).expect("a connection").end.close();
        run.rest();
        run.clients[0].acknowledging = Acknowledging::AtOnce;
        run.connect(0);
        run.is_over();
        assert_eq!(run.model.received, 2, "once by each connection");
    });
}
