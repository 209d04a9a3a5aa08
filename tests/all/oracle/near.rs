//! `near`: the distance of a Location from the given place.

const EARTH_RADIUS_KM: f64 = 6_371.008_8;
const MILE_KM: f64 = 1.609_344;

/// Degrees; north and east are positive.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    pub latitude: f64,
    pub longitude: f64,
}

impl Position {
    /// The great-circle distance, by the haversine formula.
    fn distance_km(self, other: Self) -> f64 {
        let (from, to) = (self.latitude.to_radians(), other.latitude.to_radians());
        let turn = (other.longitude - self.longitude).to_radians();
        let half = |angle: f64| (angle / 2.0).sin().powi(2);
        let chord = half(to - from) + from.cos() * to.cos() * half(turn);
        2.0 * EARTH_RADIUS_KM * chord.clamp(0.0, 1.0).sqrt().asin()
    }
}

/// The condition `latitude|longitude|distance|units`.
pub struct AskedPlace {
    centre: Position,
    distance_km: f64,
}

impl AskedPlace {
    pub fn parse(text: &str) -> Result<Self, String> {
        Self::read(text).ok_or_else(|| format!("`{text}` is no place"))
    }

    fn read(text: &str) -> Option<Self> {
        let parts: Vec<&str> = text.split('|').collect();
        if !(2..=4).contains(&parts.len()) {
            return None;
        }
        let latitude = degrees(parts[0], 90.0)?;
        let longitude = degrees(parts[1], 180.0)?;
        let distance = match parts.get(2).copied().unwrap_or_default() {
            "" => return Some(Self { centre: Position { latitude, longitude }, distance_km: 50.0 }),
            written => written.parse::<f64>().ok().filter(|distance| *distance >= 0.0)?,
        };
        let unit_km = match parts.get(3).copied().unwrap_or_default() {
            "" | "km" => 1.0,
            "m" => 0.001,
            "mi" | "[mi_i]" => MILE_KM,
            _ => return None,
        };
        Some(Self { centre: Position { latitude, longitude }, distance_km: distance * unit_km })
    }

    pub fn finds(&self, position: Position) -> bool {
        self.centre.distance_km(position) <= self.distance_km
    }
}

fn degrees(text: &str, most: f64) -> Option<f64> {
    text.parse::<f64>().ok().filter(|degrees| degrees.abs() <= most)
}
