//! Placeholder until beats land: the names that the broker uses.
use crate::*;
pub struct Beat{pub broker:BrokerId,pub address:String,pub leaving:bool,pub loads:Vec<(DataId,Vec<load::ShardLoad>)>}
impl Beat{pub fn new(broker:BrokerId,address:String)->Beat{Beat{broker,address,leaving:false,loads:vec![]}} pub fn encode(&self)->Vec<u8>{vec![]} pub fn decode(_:&[u8])->Result<Beat,map::StoredFormatError>{todo!()}}
