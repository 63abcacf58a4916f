//! The resources that users declare: types, validation rules, conditions
