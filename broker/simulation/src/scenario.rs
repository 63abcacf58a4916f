//! What a seed decides about a run.

use std::time::Duration;

use millrace_log::memory::{Dice, Faults};
use millrace_server::broker::Settings;

/// How often which fault strikes, as weights.
#[derive(Clone, Copy, Debug)]
pub struct Chaos {
    /// A broker crashes, and another takes its place after a while.
    pub crash: u64,
    /// A broker is stopped in good order, and another takes its place.
    pub stop: u64,
    /// A broker is paused.
    pub pause: u64,
    /// A broker is cut off from the log.
    pub cut_from_log: u64,
    /// Two brokers are cut off from each other.
    pub cut_from_peer: u64,
    /// A broker is cut off from log and peers.
    pub cut_off: u64,
    /// The network gets better or worse.
    pub weather: u64,
}

/// What a seed decides about a run.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The seed.
    pub seed: u64,
    /// How many brokers run.
    pub brokers: usize,
    /// How many streams there are.
    pub streams: usize,
    /// How many shards each begins with.
    pub shards: u32,
    /// How long records are kept, in seconds.
    pub retention_s: u64,
    /// How many writers each stream has.
    pub writers: usize,
    /// How many partition keys each writer has.
    pub keys: usize,
    /// How long a writer waits between two requests, in milliseconds.
    pub think_ms: std::ops::RangeInclusive<u64>,
    /// How long a client waits for a broker.
    pub client_patience: Duration,
    /// How long faults go on.
    pub faults_for: Duration,
    /// How long the time between two faults is, in milliseconds.
    pub fault_every_ms: std::ops::RangeInclusive<u64>,
    /// How long the time between two reshards is, in milliseconds.
    pub reshard_every_ms: std::ops::RangeInclusive<u64>,
    /// How long a pause or cut lasts, in milliseconds.
    pub trouble_ms: std::ops::RangeInclusive<u64>,
    /// How far the brokers' clocks are from the log's, at most, in milliseconds.
    pub skew_ms: u64,
    /// Which faults.
    pub chaos: Chaos,
    /// The network.
    pub network: Faults,
    /// The brokers' settings.
    pub settings: Settings,
}

impl Scenario {
    /// Whether retention takes records during the run.
    pub fn forgets(&self) -> bool {
        self.retention_s < 600
    }

    /// The run of this seed.
    pub fn of(seed: u64) -> Scenario {
        let mut dice = Dice::new(seed);
        let retention_s = if dice.chance(300) { dice.between(&(8..=40)) } else { 3_600 };
        let long_ms = if dice.chance(300) { retention_s.min(40) * 1_500 } else { 8_000 };
        let weight =
            |dice: &mut Dice, per_mille, most| if dice.chance(per_mille) { dice.below(most) } else { 0 };
        let chaos = Chaos {
            crash: weight(&mut dice, 700, 10),
            stop: weight(&mut dice, 500, 5),
            pause: weight(&mut dice, 700, 10),
            cut_from_log: weight(&mut dice, 600, 10),
            cut_from_peer: weight(&mut dice, 500, 10),
            cut_off: weight(&mut dice, 500, 5),
            weather: 2,
        };
        let mut settings = Settings::default();
        if dice.chance(500) {
            // Small memories, so that readers read from the log.
            settings.tail_bytes = dice.between(&(100..=2_000)) as usize;
            settings.history_bytes = dice.between(&(1_000..=100_000)) as usize;
        }
        if dice.chance(300) {
            settings.settle_for = Duration::from_millis(dice.between(&(2_000..=15_000)));
        }
        let mut scenario = Scenario {
            seed,
            brokers: dice.between(&(2..=4)) as usize,
            streams: dice.between(&(1..=2)) as usize,
            shards: dice.between(&(1..=4)) as u32,
            retention_s,
            writers: dice.between(&(1..=3)) as usize,
            keys: dice.between(&(2..=6)) as usize,
            think_ms: 0..=dice.between(&(50..=500)),
            client_patience: Duration::from_millis(*dice.pick(&[3_000, 10_000, 30_000, 60_000])),
            faults_for: Duration::from_millis(dice.between(&(15_000..=50_000))),
            fault_every_ms: 100..=dice.between(&(1_000..=6_000)),
            reshard_every_ms: 50..=dice.between(&(500..=5_000)),
            trouble_ms: 50..=dice.between(&(1_000..=long_ms)),
            skew_ms: *dice.pick(&[0, 20, 2_000]),
            chaos,
            network: network(&mut dice),
            settings,
        };
        if dice.chance(100) {
            scenario.be_forgetful(&mut dice);
        }
        // No owner may take longer over an append than retention lets records be: brokers rely on that.
        let most = Duration::from_secs(scenario.retention_s) * 2 / 3;
        scenario.settings.settle_for = scenario.settings.settle_for.min(most);
        scenario
    }

    /// Brokers lose sight of the log for longer than it remembers, again and again: what they knew is gone when
    /// they come back.
    fn be_forgetful(&mut self, dice: &mut Dice) {
        self.retention_s = dice.between(&(3..=6));
        self.trouble_ms = 3_000..=dice.between(&(8_000..=16_000));
        self.fault_every_ms = 500..=6_000;
        self.reshard_every_ms = 200..=3_000;
        self.chaos =
            Chaos { crash: 1, stop: 0, pause: 4, cut_from_log: 10, cut_from_peer: 1, cut_off: 2, weather: 1 };
        self.network.watch_delay_ms = 0..=2_000;
    }
}

/// The network of a while.
pub fn network(dice: &mut Dice) -> Faults {
    let mut often = |most: u64| if dice.chance(600) { dice.below(most) as u32 } else { 0 };
    let mut faults = Faults {
        slow_per_mille: often(100),
        lost_request_per_mille: often(50),
        lost_reply_per_mille: often(80),
        late_per_mille: often(60),
        broken_off_per_mille: often(60),
        lag_per_mille: often(600),
        deposed_per_mille: often(30),
        retold_per_mille: often(50),
        ..Faults::none()
    };
    faults.time_out_ms = dice.between(&(500..=5_000));
    faults.delay_ms = 0..=dice.between(&(1..=20));
    faults.slow_ms = 10..=faults.time_out_ms + 500;
    faults.late_ms = 0..=dice.between(&(100..=10_000));
    faults.lag_ms = 1..=dice.between(&(10..=3_000));
    faults.watch_delay_ms = 0..=*dice.pick(&[5, 50, 2_000]);
    faults
}
