//! Geographic points as index entries encode them, and the distance between two.

/// The mean radius of the earth, in metres.
pub(super) const EARTH_M: f64 = 6_371_008.8;

/// Decodes the latitude and longitude of a value.
pub(in crate::search) fn point_of(value: &[u8]) -> Option<(f64, f64)> {
    let degrees = |at: usize| {
        let sorted = u64::from_be_bytes(*value.get(at..)?.first_chunk::<8>()?);
        let sign = 1_u64 << 63;
        Some(f64::from_bits(if sorted & sign == 0 { !sorted } else { sorted & !sign }))
    };
    Some((degrees(1)?, degrees(9)?))
}

/// The distance between two points on a sphere, in metres (haversine formula).
pub(in crate::search) fn distance_m(from: (f64, f64), to: (f64, f64)) -> f64 {
    let (latitude, longitude) = (from.0.to_radians(), from.1.to_radians());
    let (other_latitude, other_longitude) = (to.0.to_radians(), to.1.to_radians());
    let half = |angle: f64| (angle / 2.0).sin().powi(2);
    let square = half(other_latitude - latitude)
        + latitude.cos() * other_latitude.cos() * half(other_longitude - longitude);
    2.0 * EARTH_M * square.sqrt().min(1.0).asin()
}
