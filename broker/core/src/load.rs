//! Placeholder until the load model lands: the names that the broker uses (LoadWindow, Target, ShardLoad).
#[derive(Default)]pub struct LoadWindow;
/// x
pub struct Target{pub bytes_per_s:u64,pub records_per_s:u64}
#[derive(Clone)] pub struct ShardLoad;
impl LoadWindow{ pub fn record(&mut self,_:crate::HashKey,_:u32){} pub fn throttled(&mut self,_:u32){} pub fn report(&mut self,_:crate::ShardId,_:&Target,_:i64)->Option<ShardLoad>{None}}
