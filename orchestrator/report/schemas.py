"""Columns of the tables that the report writes: claims, anchors, key_numbers."""

from orchestrator.engine.tables import BOOL, CATEGORY, FLOAT, INT, TEXT, column, schema

SCALE = column("scale", CATEGORY, "full, or reduced where ours is of settings other than the paper preset's")
EVIDENCE = column("evidence", TEXT, "table that ours is from")

CLAIMS = schema(
    column("claim", INT, "in the order of the paper's text"),
    column("reading", TEXT, "which of several readings of the statement, where it can be read in several ways"),
    column("kind", CATEGORY, "definition, protocol, measurement, cause or opinion"),
    column("statement", TEXT, "what the paper says"),
    column("paper", TEXT, "its number or word; (a) from its author's repository"),
    column("quantity", TEXT, "what is measured, with its unit"),
    column("measured", FLOAT, "the quantity in this run"),
    column("low", FLOAT, "lower end of its 95 % interval, or of a range"),
    column("high", FLOAT, "upper end of it"),
    column("interval", CATEGORY, "t, bootstrap, F, chi_squared; range: from the least to the greatest; none"),
    column("n", INT, "observations that it is of: seeds, folds, images"),
    column("p", FLOAT, "p value of the test that the verdict follows from, two-sided"),
    column("p_holm", FLOAT, "the same after Holm's correction over all tests of measurements and causes"),
    column("smallest_effect", FLOAT, "distance from its bound that the test would have seen with a power of 80 %"),
    column("threshold", FLOAT, "a bound of the rule that somebody had to choose"),
    column("sensitivity", TEXT, "what half and twice the threshold would have made of the verdict; none: the same"),
    column("seconds", FLOAT, "the time that the claim is about", "s"),
    column(
        "verdict",
        CATEGORY,
        "supported, partly, contradicted, inconclusive or not_tested; of a protocol followed, partly_followed or "
        "not_followed",
    ),
    column("scale", CATEGORY, "full, or reduced where what it is judged by is other than the paper's"),
    column("reason", TEXT, "the rule of the verdict, and what else is to be known"),
    column("evidence", TEXT, "tables that it is judged by"),
    column("rules_version", TEXT, "number of the rules, and hash of their code"),
)

ANCHORS = schema(
    column("quantity", TEXT, "what was measured"),
    column("published", FLOAT, "the best number that others published"),
    column("source", TEXT, "where"),
    column("better", CATEGORY, "whether lower or higher is better"),
    column("ours", FLOAT, "the same in this run, mean over seeds; missing where the run has none"),
    column("difference", FLOAT, "ours less the published one"),
    column("met", BOOL, "whether ours is as good"),
    SCALE,
    EVIDENCE,
)

KEY_NUMBERS = schema(
    column("quantity", TEXT, "what was measured"),
    column("paper", TEXT, "the paper's number; (a) from its author's repository; missing where neither has one"),
    column("ours", FLOAT, "the same in this run; missing where the run has none"),
    column("low", FLOAT, "lower end of its 95 % interval"),
    column("high", FLOAT, "upper end of it"),
    column("n", INT, "seeds, folds or images that it is a mean over"),
    SCALE,
    EVIDENCE,
)
