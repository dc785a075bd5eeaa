//! What arrived of what was acknowledged.

use crate::common::publisher::Publisher;
use crate::common::subscriber::Subscriber;

#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    /// Messages that a broker acknowledged to their publisher.
    pub acknowledged: u64,
    /// Acknowledged messages that a receiver did not get.
    pub lost: u64,
    /// Repeats at QoS 1, which are allowed.
    pub repeated: u64,
    /// Repeats at QoS 2, which are not.
    pub twice: u64,
    /// First deliveries after that of a later message of the topic.
    pub disordered: u64,
}

impl Tally {
    /// Compares what each receiver has with what was acknowledged to each publisher.
    pub fn of(publishers: &[Publisher], receivers: &[&Subscriber]) -> Self {
        let mut tally = Self::default();
        for publisher in publishers {
            tally.acknowledged += publisher.acknowledged;
            for receiver in receivers {
                let Some(account) = receiver.accounts.get(&publisher.topic()) else {
                    tally.lost += publisher.acknowledged;
                    continue;
                };
                tally.lost += account.missing(publisher.next).len() as u64;
                tally.disordered += account.out_of_order.len() as u64;
                let repeats =
                    if publisher.qos == 2 { &mut tally.twice } else { &mut tally.repeated };
                *repeats += account.repeated();
            }
        }
        tally
    }

    pub fn is_kept(&self) -> bool {
        self.lost + self.twice + self.disordered == 0
    }

    pub fn print(&self, what: &str, rest: &str) {
        let Self { acknowledged, lost, repeated, twice, disordered } = self;
        println!(
            "{what}: {acknowledged} acknowledged, {lost} lost, {repeated} repeated at QoS 1, \
             {twice} at QoS 2, {disordered} out of order; {rest}"
        );
    }
}
