//! The results of one analyte over time: a plot with the reference range, and the table behind it.
use maud::{Markup, html};

use crate::model::{Millis, Node, Temporal};

use super::super::handled::Handled;
use super::super::parts::{name_of, read_moment};
use super::super::problem::Problem;
use super::super::visit::Visit;
use super::frame::chart_page;
use super::lists::{RESULTS, table};
use super::record::Record;

/// The size of the plot in its own units, and the room around the points for the labels.
const SIZE: (f64, f64) = (640.0, 240.0);
const MARGIN: (f64, f64) = (56.0, 32.0);

/// A result that can be plotted.
struct Point {
    time: Millis,
    value: f64,
    /// When and how much, in words.
    said: String,
    is_outside: bool,
}

/// Results of one code (`system|code`) of a patient.
pub(in super::super) fn trend(visit: Visit) -> Handled {
    Box::pin(async move {
        let [_, code] = visit.path.as_slice() else { return Err(Problem::NotFound) };
        let record = Record::open(&visit).await?;
        let more = visit.parameter("more");
        let found = if more.is_empty() {
            record.about("Observation", "patient", &[("code", code), ("_sort", "-date")]).await?
        } else {
            record.search("Observation", crate::operations::decode_pairs(more)).await?
        };
        let newest = found.resources().next();
        let name = newest.and_then(name_of).unwrap_or_else(|| "Results".to_owned());
        let points: Vec<Point> = found.resources().filter_map(point).collect();
        let part = Record::trend_of(code);
        let body = html! {
            h2 { (name) ", the latest first" }
            @if points.len() > 1 { (plot(&name, &points, newest.and_then(range))) }
            (table(&record, &RESULTS, &found, &part))
            p { a href=(record.path("results")) { "All results" } }
        };
        Ok(chart_page(&visit, &record, "results", body))
    })
}

fn number(node: Node<'_>) -> Option<f64> {
    node.get("value")?.raw().parse::<f64>().ok().filter(|value| value.is_finite())
}

/// The lower and the upper end of the reference range.
fn range(result: Node<'_>) -> Option<(f64, f64)> {
    let range = result.items_at("referenceRange").next()?;
    Some((range.get("low").and_then(number)?, range.get("high").and_then(number)?))
}

fn point(result: Node<'_>) -> Option<Point> {
    let quantity = result.get("valueQuantity")?;
    let value = number(quantity)?;
    let when = result.str_at("effectiveDateTime").or_else(|| result.str_at("issued"))?;
    let time = Temporal::parse(when)?.interval().start;
    let unit = quantity.str_at("unit").unwrap_or_default();
    let said = format!("{}: {} {unit}", read_moment(when)?, quantity.get("value")?.raw());
    let is_outside = range(result).is_some_and(|(low, high)| value < low || value > high);
    Some(Point { time, value, said: said.trim_end().to_owned(), is_outside })
}

/// A time as a number to draw with: minutes, of which 32 bits hold four thousand years in each direction.
fn drawn(time: Millis) -> f64 {
    let minutes = time.div_euclid(60_000).clamp(i64::from(i32::MIN), i64::from(i32::MAX));
    i32::try_from(minutes).map_or(0.0, f64::from)
}

/// The plot. Its colours come from the style sheet, so it follows light and dark; each point tells its value.
fn plot(name: &str, points: &[Point], range: Option<(f64, f64)>) -> Markup {
    let of = |start: f64, better: fn(f64, f64) -> f64, values: &mut dyn Iterator<Item = f64>| {
        values.fold(start, better)
    };
    let ends = || range.into_iter().flat_map(|(low, high)| [low, high]);
    let values = || points.iter().map(|point| point.value).chain(ends());
    let low = of(f64::INFINITY, f64::min, &mut values());
    let high = of(f64::NEG_INFINITY, f64::max, &mut values());
    let times = || points.iter().map(|point| drawn(point.time));
    let first = of(f64::INFINITY, f64::min, &mut times());
    let last = of(f64::NEG_INFINITY, f64::max, &mut times());
    // Where all values or all times are alike there is nothing to spread.
    let share = |value: f64, low: f64, high: f64| if high > low { (value - low) / (high - low) } else { 0.5 };
    let x = |time: Millis| MARGIN.0 + share(drawn(time), first, last) * (SIZE.0 - 2.0 * MARGIN.0);
    let y = |value: f64| SIZE.1 - MARGIN.1 - share(value, low, high) * (SIZE.1 - 2.0 * MARGIN.1);
    let line: Vec<String> =
        points.iter().map(|point| format!("{:.1},{:.1}", x(point.time), y(point.value))).collect();
    let (newest, oldest) = (points.first(), points.last());
    let day = |point: Option<&Point>| {
        point
            .map(|point| Temporal::from_millis(point.time).date().to_text())
            .and_then(|day| read_moment(&day))
            .unwrap_or_default()
    };
    let view = format!("0 0 {} {}", SIZE.0, SIZE.1);
    html! {
        figure.plot {
            svg viewBox=(view) role="img" aria-label={ (name) ": " (points.len()) " values, shown in the table below" } {
                @if let Some((low, high)) = range {
                    rect.range x=(MARGIN.0) y=(format!("{:.1}", y(high))) width=(SIZE.0 - 2.0 * MARGIN.0) height=(format!("{:.1}", y(low) - y(high))) {}
                }
                polyline.line points=(line.join(" ")) {}
                @for point in points {
                    g {
                        title { (point.said) }
                        @if point.is_outside {
                            path.outside d=(format!("M{:.1} {:.1} l6 10 h-12 z", x(point.time), y(point.value) - 6.0)) {}
                        } @else {
                            circle cx=(format!("{:.1}", x(point.time))) cy=(format!("{:.1}", y(point.value))) r="4" {}
                        }
                    }
                }
                text x="0" y=(format!("{:.1}", y(high) + 5.0)) { (high) }
                text x="0" y=(format!("{:.1}", y(low) + 5.0)) { (low) }
                text x=(MARGIN.0) y=(SIZE.1 - 4.0) { (day(oldest)) }
                text x=(SIZE.0 - MARGIN.0) y=(SIZE.1 - 4.0) text-anchor="end" { (day(newest)) }
            }
            figcaption {
                @if range.is_some() { "The band is the reference range. " }
                "Triangles are outside of it."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{plot, point, range};
    use crate::model::parse;

    #[test]
    fn points_lie_where_their_values_are() {
        let result = |day: &str, value: &str| {
            let text = format!(
                r#"{{"effectiveDateTime":"{day}","valueQuantity":{{"value":{value},"unit":"<b>"}},"referenceRange":[{{"low":{{"value":4}},"high":{{"value":6}}}}]}}"#
            );
            parse(text.into_bytes()).unwrap()
        };
        let trees =
            [result("2026-03-01", "8"), result("2026-02-01", "6"), result("2026-01-01T08:00:00Z", "4.0")];
        let points: Vec<_> = trees.iter().filter_map(|tree| point(tree.root())).collect();
        assert_eq!(points.iter().map(|point| point.is_outside).collect::<Vec<_>>(), [true, false, false]);
        let drawn = plot("A<1>", &points, range(trees[0].root())).into_string();
        // The newest is highest and at the right, the oldest lowest and at the left; the band reaches from 4 to 6.
        assert!(drawn.contains("M584.0 26.0") && drawn.contains("cx=\"56.0\" cy=\"208.0\""), "{drawn}");
        assert!(drawn.contains("y=\"120.0\"") && drawn.contains("height=\"88.0\""), "{drawn}");
        assert!(
            drawn.contains("A&lt;1&gt;") && drawn.contains("8 &lt;b&gt;") && !drawn.contains("<b>"),
            "{drawn}"
        );
        for odd in
            [r#"{"valueQuantity":{"value":1}}"#, r#"{"effectiveDateTime":"2026","valueString":"x"}"#, "{}"]
        {
            assert!(point(parse(odd.as_bytes().to_vec()).unwrap().root()).is_none(), "{odd}");
        }
        // A plot of the year 2090 spreads its points as well.
        let late = [result("2090-02-01", "5"), result("2090-01-01", "5")];
        let late: Vec<_> = late.iter().filter_map(|tree| point(tree.root())).collect();
        let late = plot("C", &late, None).into_string();
        assert!(late.contains("cx=\"56.0\"") && late.contains("cx=\"584.0\""), "{late}");
        let alike = plot("B", &[], None).into_string();
        assert!(!alike.contains("NaN") && !alike.contains("circle"), "{alike}");
    }
}
