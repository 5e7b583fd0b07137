import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium", app_title="Second orders")


@app.cell
def _():
    import warnings

    import altair as alt
    import marimo as mo
    import numpy as np
    import pyarrow as pa
    from headwater_reports.warehouse import open_warehouse
    from scipy.stats import CensoredData, ecdf, logrank

    CONFIDENCE = 0.95
    DAYS = [30, 90, 180, 365]
    return CONFIDENCE, CensoredData, DAYS, alt, ecdf, logrank, mo, np, open_warehouse, pa, warnings


@app.cell
def _(mo):
    mo.md("""
    # When do people order again?

    Whoever ordered first last week has had a week to come back; whoever ordered first two years
    ago, two years. To divide those who came back by all who could mixes the two, and makes every
    new customer look lost. Here each person counts for as long as they have been waited for
    (Kaplan and Meier's estimate), and each share comes with the range in which it lies with
    95 % confidence.
    """)
    return


@app.cell
def _(mo, open_warehouse):
    with open_warehouse() as _warehouse:
        counts = _warehouse.query(
            "select channel, first_quarter, has_come_back, day_count, person_count "
            "from reporting.second_orders "
            "order by channel, first_quarter, has_come_back, day_count"
        )
    mo.stop(not counts.num_rows, mo.md("**Nobody has ordered yet.** There is nothing to estimate."))
    return (counts,)


@app.cell
def _(CONFIDENCE, CensoredData, ecdf, np, pa, warnings):
    def people(counts):
        """The counts as people: the days until each came back, or those waited for in vain."""
        days = np.repeat(counts["day_count"].to_numpy(), counts["person_count"].to_numpy())
        back = np.repeat(
            counts["has_come_back"].to_numpy(zero_copy_only=False),
            counts["person_count"].to_numpy(),
        )
        return CensoredData(uncensored=days[back], right=days[~back])

    def curve(counts):
        """Share of the people who came back within so many days, with the range it lies in."""
        not_back = ecdf(people(counts)).sf
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # there is no range where nobody, or everybody, is back
            range_ = not_back.confidence_interval(CONFIDENCE, method="log-log")
        share = 1 - not_back.probabilities
        low, high = (
            np.where(np.isnan(bound), share, bound)
            for bound in (1 - range_.high.probabilities, 1 - range_.low.probabilities)
        )
        return pa.table({"days": not_back.quantiles, "share": share, "low": low, "high": high})

    def within(made, days):
        """A curve's share, low and high after so many days; None where it does not reach so far."""
        reached = made["days"].to_numpy()
        if days > reached[-1]:
            return None
        if days < reached[0]:
            return 0.0, 0.0, 0.0
        at = int(np.searchsorted(reached, days, side="right")) - 1
        return tuple(made[name][at].as_py() for name in ("share", "low", "high"))

    def only(counts, column, value):
        return counts.filter(pa.compute.equal(counts[column], value))

    return curve, only, people, within


@app.cell
def _(counts, curve, only):
    channels = sorted(set(counts["channel"].to_pylist()))
    quarters = sorted(set(counts["first_quarter"].to_pylist()))
    channel_curves = {channel: curve(only(counts, "channel", channel)) for channel in channels}
    quarter_curves = {
        f"{quarter.year} Q{(quarter.month + 2) // 3}": curve(only(counts, "first_quarter", quarter))
        for quarter in quarters
    }
    names = {"app": "App", "shopify": "Shopify"}
    return channel_curves, channels, names, quarter_curves


@app.cell
def _(channel_curves, channels, counts, logrank, mo, names, np, only, people, within):
    def percent(share):
        return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"

    def _sentence(channel):
        persons = sum(only(counts, "channel", channel)["person_count"].to_pylist())
        said = f"**{names.get(channel, channel)}**: {persons:,} people ordered first here."
        if not (found := within(channel_curves[channel], 90)):
            return said
        share, low, high = map(percent, found)
        return f"{said} Within 90 days **{share}** of them order again ({low} to {high})."

    def _difference():
        with np.errstate(all="ignore"):
            p = logrank(*(people(only(counts, "channel", each)) for each in channels)).pvalue
        if p < 0.05:
            said = "< 0.001" if p < 0.001 else f"= {p:.3f}"
            return f"The channels differ by more than chance explains (log-rank test, p {said})."
        return f"The channels differ by no more than chance may (log-rank test, p = {p:.2f})."

    mo.md(
        "\n\n".join([*map(_sentence, channels), *([_difference()] if len(channels) == 2 else [])])
    )
    return (percent,)


@app.cell
def _(alt, channel_curves, names, pa):
    _data = pa.concat_tables(
        made.append_column("channel", pa.array([names.get(channel, channel)] * made.num_rows))
        for channel, made in channel_curves.items()
    )
    _x = alt.X("days:Q", title="Days since the first order", scale=alt.Scale(nice=False))
    _colour = alt.Color(
        "channel:N", title=None, legend=alt.Legend(symbolType="square", symbolOpacity=1)
    )
    _range = (
        alt.Chart()
        .mark_area(interpolate="step-after", opacity=1, fillOpacity=0.2, line=False)
        .encode(_x, alt.Y("low:Q"), alt.Y2("high"), _colour)
    )
    _line = (
        alt.Chart()
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(
            _x,
            alt.Y("share:Q", title="Have ordered again", axis=alt.Axis(format=".0%")),
            _colour,
            alt.StrokeDash("channel:N", legend=None),
        )
    )
    alt.layer(_range, _line, data=_data).properties(
        width="container",
        height=300,
        title="Share of people who have ordered again",
        description="Curves that rise with the days since the first order, one for each channel, "
        "each in a band that it lies in with 95 % confidence.",
    )
    return


@app.cell
def _(DAYS, channel_curves, mo, names, percent, within):
    def _cell(found):
        return "{} ({} to {})".format(*map(percent, found)) if found else "not yet known"

    _rows = [
        ["First order in", *(f"{days} days" for days in DAYS)],
        ["---", *["--:"] * len(DAYS)],
        *(
            [names.get(channel, channel), *(_cell(within(made, days)) for days in DAYS)]
            for channel, made in channel_curves.items()
        ),
    ]
    mo.md("\n".join(f"| {' | '.join(row)} |" for row in _rows))
    return


@app.cell
def _(mo, percent, quarter_curves, within):
    _known = [(q, _found[0]) for q, made in quarter_curves.items() if (_found := within(made, 90))]
    _said = (
        "Of those who ordered first in {}, {} had ordered again within 90 days; of those in {}, {}."
    )
    mo.md(f"""
    ## Do newer customers come back sooner?

    {
        _said.format(_known[0][0], percent(_known[0][1]), _known[-1][0], percent(_known[-1][1]))
        if len(_known) > 1
        else "It is too early to say."
    }
    A quarter has no mark where nobody has been waited for so long.
    """)
    return


@app.cell
def _(DAYS, alt, pa, quarter_curves, within):
    _data = pa.Table.from_pylist(
        [
            {"quarter": quarter, "within": f"{days} days"}
            | dict(zip(("share", "low", "high"), _found, strict=True))
            for quarter, made in quarter_curves.items()
            for days in DAYS[:3]
            if (_found := within(made, days))
        ],
        pa.schema(
            [("quarter", pa.string()), ("within", pa.string())]
            + [(name, pa.float64()) for name in ("share", "low", "high")]
        ),
    )
    _order = [f"{days} days" for days in DAYS[:3]]
    _x = alt.X(
        "quarter:N",
        title="Quarter of the first order",
        axis=alt.Axis(labelAngle=0, labelOverlap="greedy"),
    )
    _offset = alt.XOffset("within:N", sort=_order)
    _colour = alt.Color(
        "within:N",
        title=None,
        sort=_order,
        legend=alt.Legend(symbolType="square", symbolOpacity=1),
    )
    _range = (
        alt.Chart()
        .mark_rule(strokeWidth=2, opacity=0.5)
        .encode(_x, alt.Y("low:Q"), alt.Y2("high"), _colour, _offset)
    )
    _point = (
        alt.Chart()
        .mark_point(filled=True, size=70, opacity=1)
        .encode(
            _x,
            alt.Y("share:Q", title="Have ordered again", axis=alt.Axis(format=".0%")),
            _colour,
            alt.Shape("within:N", sort=_order, legend=None),
            _offset,
        )
    )
    alt.layer(_range, _point, data=_data).properties(
        width="container",
        height=280,
        title="Share who ordered again, by the quarter of their first order",
        description="For each quarter a mark for 30, 90 and 180 days, with a line over the "
        "range it lies in with 95 % confidence.",
    )
    return


@app.cell
def _(mo):
    mo.md("""
    ## How to read this

    A person is one whichever channels and accounts they use. An order counts if money was taken for
    it, and a second one counts in either channel. Guests are nobody's. A first order is the first
    that the warehouse knows of: for people who bought before it began, it is not their first. Days
    are by UTC's calendar.
    """)
    return


if __name__ == "__main__":
    app.run()
