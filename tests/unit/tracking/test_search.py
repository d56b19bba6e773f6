import pytest

from headway.errors import UsageError
from headway.tracking.search import EXPERIMENTS, Clause, Order, parse_filter, parse_order, parse_orders


@pytest.mark.parametrize(
    ("text", "clauses"),
    [
        ("", ()),
        ("   ", ()),
        ("metrics.acc >= 0.94", (Clause("metric", "acc", ">=", 0.94),)),
        ("metric.acc>=-1e3", (Clause("metric", "acc", ">=", -1000.0),)),
        ("metrics.a.b.c = 1", (Clause("metric", "a.b.c", "=", 1.0),)),
        ("metrics.`a b/c` < .5", (Clause("metric", "a b/c", "<", 0.5),)),
        ('metrics."a b" != 1.', (Clause("metric", "a b", "!=", 1.0),)),
        ("params.m = 'LR'", (Clause("parameter", "m", "=", "LR"),)),
        ('parameter.m != "L R"', (Clause("parameter", "m", "!=", "L R"),)),
        ("tag.`mlflow.source` like '%x''y_'", (Clause("tag", "mlflow.source", "LIKE", "%x''y_"),)),
        ("TAGS.x = '1'", None),
        (
            "tags.x iLiKe 'A%' AnD params.y is not null",
            (Clause("tag", "x", "ILIKE", "A%"), Clause("parameter", "y", "IS NOT NULL", None)),
        ),
        ("params.x IS NULL", (Clause("parameter", "x", "IS NULL", None),)),
        ("status = 'FINISHED'", (Clause("attribute", "status", "=", "FINISHED"),)),
        ("attr.`Run name` = 'x'", (Clause("attribute", "run_name", "=", "x"),)),
        (
            "Created > 10 and end_time <= 1.5",
            (Clause("attribute", "start_time", ">", 10), Clause("attribute", "end_time", "<=", 1.5)),
        ),
        ("run_id in ('a', \"b\")", (Clause("attribute", "run_id", "IN", ("a", "b")),)),
        ("run.run_id NOT IN ('a')", (Clause("attribute", "run_id", "NOT IN", ("a",)),)),
        ("dataset.name = 'd'", (Clause("dataset", "name", "=", "d"),)),
        ("datasets.context in ('train','eval')", (Clause("dataset", "context", "IN", ("train", "eval")),)),
        ("metrics.a = 1 metrics.b = 2", (Clause("metric", "a", "=", 1.0), Clause("metric", "b", "=", 2.0))),
        (r"params.a = 'a\'b'", (Clause("parameter", "a", "=", r"a\'b"),)),
        ("params.'a b' = 'x'", (Clause("parameter", "a b", "=", "x"),)),
    ],
)
def test_what_is_read(text: str, clauses: tuple[Clause, ...] | None) -> None:
    if clauses is None:
        with pytest.raises(UsageError, match="Invalid entity type"):
            parse_filter(text)
    else:
        assert parse_filter(text) == clauses


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("metric.acc >= 0.94; metrics.rmse < 1", "Search filter contained multiple expression"),
        ("m.acc >= 0.94", "Invalid entity type 'm'"),
        ("metrics.a = 1;", "Invalid clause\\(s\\) in filter string: ';'"),
        ("metrics.a > 1 or params.b = 'c'", "Invalid clause\\(s\\) in filter string: 'or'$"),
        ("params.a = 'x' UNION SELECT 1", "in filter string: 'UNION', 'SELECT', '1'$"),
        ("params.a = 'x' -- y", "in filter string: '-- y'$"),
        ("metrics.a == 1", "Invalid comparator '==' not one of"),
        ("params.a NOT LIKE 'x'", "Invalid comparator 'NOT LIKE' not one of"),
        ("params.a IN ('x', 'y')", r"Got value \('x', 'y'\)$"),
        ("acc >= 0.94", "Invalid attribute key 'acc'"),
        ("a.x != 1", "Invalid entity type"),
        ("metrics.A > 0.1 OR params.B = 'LR'", r"Invalid clause\(s\) in filter string"),
        ("metrics.A > 0.1 or metrics.B > 1", r"Invalid clause\(s\) in filter string: .*or"),
        ("metrics.A > 0.1 NAND params.B = 'LR'", r"Invalid clause\(s\) in filter string"),
        ("metrics.A > 0.1 AND (params.B = 'LR')", r"Invalid clause\(s\) in filter string"),
        ("NOT metrics.A > 0.1", r"Invalid clause\(s\) in filter string"),
        ("`metrics.A > 0.1", r"Invalid clause\(s\) in filter string"),
        ("param`.A > 0.1", r"Invalid clause\(s\) in filter string"),
        ("metric.acc", r"Invalid clause\(s\) in filter string: 'metric.acc'"),
        ("metric.acc !=", r"Invalid clause\(s\) in filter string"),
        ("0.5 < metrics.a", "Invalid comparison clause. Expected 'Identifier' found '0.5'"),
        ("attribute.start != 1", "Invalid attribute key"),
        ("attribute.experiment_id != 1", "Invalid attribute key"),
        ("metrics.acc = 'abc'", "Expected numeric value type for metric. Found 'abc'"),
        ("metrics.acc = abc", "Expected numeric value type for metric. Found abc"),
        ("metrics.acc LIKE 1", "Invalid comparator 'LIKE' not one of"),
        ("params.acc = 5", r"Expected a quoted string value for parameter \(e.g. 'my-value'\). Got value 5"),
        ("params.acc = LR", "Parameter value is either not quoted or unidentified quote types"),
        ("params.acc = `LR`", "Parameter value is either not quoted"),
        ("params.acc > 'x'", "Invalid comparator '>' not one of"),
        ("params.'acc = LR", r"Invalid clause\(s\) in filter string"),
        ("params.acc = 'LR", r"Invalid clause\(s\) in filter string"),
        ("params.acc = LR'", r"Invalid clause\(s\) in filter string"),
        ("params.acc = \"LR'", r"Invalid clause\(s\) in filter string"),
        ("tags.acc = = 'LR'", r"Invalid clause\(s\) in filter string"),
        ("attribute.status IS 'RUNNING'", r"Invalid clause\(s\) in filter string"),
        ("status > 'x'", "Invalid comparator '>' not one of"),
        ("status = 5", "Expected a quoted string value for attributes. Got value 5"),
        ("start_time = 'x'", "Expected numeric value type for numeric attribute: start_time. Found 'x'"),
        ("start_time LIKE 1", "Invalid comparator 'LIKE'"),
        ("status IN ('a')", "Only .'run_id'. attributes support comparison with a list"),
        ("run_id IN ()", "non-empty list of string values, but got empty list"),
        ("run_id IN ('a' 'b')", "ill-formed list"),
        ("run_id IN ('a',)", None),
        ("run_id IN (1, 2)", "got different type in list"),
        ("run_id IN 'a'", r"Invalid clause\(s\)"),
        ("run_id = ('a')", r"Invalid clause\(s\)"),
        ("params.a IN ('a')", "Expected a quoted string value for parameter"),
        ("metrics.a IS NULL", "IS NULL / IS NOT NULL is only supported for tags and params"),
        ("params.a IS NULL 'x'", r"Invalid clause\(s\)"),
        ("dataset.nothing = 'x'", "Invalid dataset key 'nothing' specified"),
        ("dataset.name = 5", "Expected a quoted string value for dataset attributes. Got value 5"),
        ("metrics.`a' OR 1=1--` > 0", None),
        ("x" * 4097, "longer than 4096 bytes"),
        (" and ".join(["metrics.a > 1"] * 51), "at most 50 are allowed"),
    ],
)
def test_what_is_refused(text: str, message: str | None) -> None:
    if message is None:
        assert len(parse_filter(text)) == 1
    else:
        with pytest.raises(UsageError, match=message):
            parse_filter(text)


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("metrics.acc", Order("metric", "acc", is_ascending=True)),
        ("metrics.`a b` DESC", Order("metric", "a b", is_ascending=False)),
        ("params.m asc", Order("parameter", "m", is_ascending=True)),
        ("start_time Desc", Order("attribute", "start_time", is_ascending=False)),
        ("attribute.Created", Order("attribute", "start_time", is_ascending=True)),
    ],
)
def test_orders(text: str, order: Order) -> None:
    assert parse_order(text) == order


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Could not be parsed"),
        ("metrics.a ASC DESC", "Could not be parsed"),
        ("metrics.a DOWN", "Invalid ordering key in order_by clause"),
        ("metrics.a; DROP", "Could not be parsed"),
        ("m.a", "Invalid entity type"),
        ("experiment_id", "Invalid attribute key 'experiment_id' specified. Valid keys are"),
    ],
)
def test_bad_orders(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_order(text)


def test_a_sort_key_may_stand_there_once() -> None:
    with pytest.raises(UsageError, match="contains duplicate fields"):
        parse_orders(["metrics.a", "metric.a DESC"])


def test_experiments_have_their_own_attributes() -> None:
    assert parse_filter("name LIKE 'a%' and tags.x = '1' and creation_time > 5", EXPERIMENTS)[2].value == 5
    with pytest.raises(UsageError, match="Invalid entity type 'metrics'"):
        parse_filter("metrics.a > 1", EXPERIMENTS)
