"""What `gallocctl compare` has to say of two runs, worked out a second time: from the input, the agents and what `gallocctl results --format ndjson` gives
of either, by the textbook's definitions instead of the daemon's formulas (a root of the score equation, the mean difference of all pairs, exact fractions)."""
import math
from collections import Counter
from datetime import datetime
from fractions import Fraction
from statistics import NormalDist

Z = NormalDist().inv_cdf(0.975)
STATES = ("pending", "leased", "succeeded", "failed", "cancelled")


def wilson(hits, count):
    """The roots p of (hits/count - p)^2 = z^2 p (1 - p) / count."""
    if not count:
        return None, None
    share = hits / count
    a, b, c = 1 + Z * Z / count, -(2 * share + Z * Z / count), share * share
    root = math.sqrt(max(b * b - 4 * a * c, 0))
    return (-b - root) / (2 * a), (-b + root) / (2 * a)


def kappa(pairs):
    count = len(pairs)
    left, right = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    if not count or (len(left) == 1 and left.keys() == right.keys()):
        return None
    observed = Fraction(sum(a == b for a, b in pairs), count)
    chance = sum(Fraction(left[agent] * right[agent], count * count) for agent in left)
    return float((observed - chance) / (1 - chance))


def gini(values):
    """Half the mean difference of all pairs, over the mean."""
    if not values or sum(values) == 0:
        return None
    difference = sum(abs(x - y) for x in values for y in values) / len(values) ** 2
    return difference / 2 / (sum(values) / len(values))


def mcnemar(only_a, only_b):
    count, least = only_a + only_b, min(only_a, only_b)
    if not count:
        return {"method": None, "chi_square": None, "p": 1}
    if count < 25:
        tail = sum(Fraction(math.comb(count, i), 2 ** count) for i in range(least + 1))
        return {"method": "exact_binomial", "chi_square": None, "p": float(min(1, 2 * tail))}
    chi_square = max(abs(only_a - only_b) - 1, 0) ** 2 / count
    return {"method": "chi_square_corrected", "chi_square": chi_square, "p": 2 * NormalDist().cdf(-math.sqrt(chi_square))}


def share(hits, count):
    low, high = wilson(hits, count)
    return {"share": hits / count if count else None, "low": low, "high": high}


def mean(values):
    values = [value for value in values if value is not None]
    return {"count": len(values), "mean": sum(values) / len(values) if values else None}


def balance(agents, results):
    """agents: dicts with agent_id, capacity (None: no limit), load, available. The ledger is the run's own."""
    load = Counter({agent["agent_id"]: agent["load"] for agent in agents})
    load.update(row["agent_id"] for row in results.values() if row["state"] == "succeeded")
    counted = [agent for agent in agents if load[agent["agent_id"]] or (agent["available"] and agent["capacity"] != 0)]
    loads = [load[agent["agent_id"]] for agent in counted]
    limited = [agent for agent in agents if agent["available"]]
    highest = max(loads, default=0)
    average = sum(loads) / len(loads) if loads else None
    return {
        "agents": len(agents), "counted": len(counted), "zero_capacity": sum(agent["capacity"] == 0 for agent in agents),
        "unlimited": sum(agent["capacity"] is None for agent in agents),
        "full": sum(bool(agent["capacity"]) and load[agent["agent_id"]] >= agent["capacity"] for agent in agents), "is_shared": False,
        "load": sum(loads), "mean": average, "highest": highest,
        "highest_agent": min((agent["agent_id"] for agent in counted if load[agent["agent_id"]] == highest), default=None) if highest else None,
        "highest_to_mean": highest / average if sum(loads) else None, "gini": gini(loads),
        "use_gini": gini([load[agent["agent_id"]] / agent["capacity"] for agent in counted if agent["capacity"]]),
        "capacity_left": None if any(agent["capacity"] is None for agent in limited)
        else sum(max(agent["capacity"] - load[agent["agent_id"]], 0) for agent in limited),
    }


def seconds_between(begin, end):
    return (datetime.fromisoformat(end.replace("Z", "+00:00")) - datetime.fromisoformat(begin.replace("Z", "+00:00"))).total_seconds()


def side(run, results, common, other, agents):
    """run: the run object; results: key to row; other: the other side's."""
    decided = [results[key] for key in common if results[key]["state"] == "succeeded"]
    both = [key for key in common if results[key]["state"] == "succeeded" and other[key]["state"] == "succeeded"]
    alike = [key for key in both if results[key]["agent_id"] == other[key]["agent_id"]]
    unlike = [key for key in both if results[key]["agent_id"] != other[key]["agent_id"]]
    states, by = Counter(results[key]["state"] for key in common), Counter(row["decided_by"] for row in decided)
    return {
        **{name: run[name] for name in ("id", "name", "state", "profile", "endpoint", "pool")},
        "counts": {state: sum(row["state"] == state for row in results.values()) for state in STATES}, "common": {state: states[state] for state in STATES},
        "decided_by": {name: by[name] for name in ("model", "worker", "person", "reuse", "other")},
        "confidence": mean([row["confidence"] for row in decided]), "confidence_same": mean([results[key]["confidence"] for key in alike]),
        "confidence_different": mean([results[key]["confidence"] for key in unlike]), "latency_ms": mean([row["latency_ms"] for row in decided]),
        "invalid_answers": run["retries"]["invalid_answer"], "agent_full": run["retries"]["agent_full"],
        "failures": dict(Counter(row["error"]["code"] for row in results.values() if row["state"] == "failed")),
        "seconds": seconds_between(run["started_at"], run["finished_at"]),
        "tokens": {**run["tokens"], "in": sum(row["tokens_in"] or 0 for row in results.values())},
        "cost": {"currency": run["cost"]["currency"], "micros": sum(row["cost_micros"] or 0 for row in results.values()), "unknown_calls": 0},
        "balance": balance(agents, results),
    }


def truth_of(column, right, agents, a, b, was_sent):
    """right: key to what stands in the column, without blanks around it."""
    known = {agent["agent_id"] for agent in agents}
    told = [key for key in a if key in b and right.get(key)]
    unknown = [key for key in told if right[key] not in known]
    judged = [key for key in told if a[key]["state"] == b[key]["state"] == "succeeded"]
    hits = Counter((a[key]["agent_id"] == right[key], b[key]["agent_id"] == right[key]) for key in judged)
    right_a, right_b = hits[True, True] + hits[True, False], hits[True, True] + hits[False, True]
    return {
        "column": column, "told": len(told), "unknown": len(unknown), "unknown_example": right[unknown[0]] if unknown else None, "judged": len(judged),
        "right_both": hits[True, True], "right_only_a": hits[True, False], "right_only_b": hits[False, True], "wrong_both": hits[False, False],
        "a": {"right": right_a, **share(right_a, len(judged)), "was_sent": was_sent}, "b": {"right": right_b, **share(right_b, len(judged)), "was_sent": was_sent},
        "mcnemar": mcnemar(hits[True, False], hits[False, True]),
    }


def comparison(run_a, run_b, rows_a, rows_b, agents, truth=None):
    """The object of GET /v1/compare of two runs that are done, without its notes; agents are the pool of both."""
    a, b = {row["key"]: row for row in rows_a}, {row["key"]: row for row in rows_b}
    common = [key for key in a if key in b]
    state = Counter((a[key]["state"] == "succeeded", b[key]["state"] == "succeeded") for key in common)
    pairs = [(a[key]["agent_id"], b[key]["agent_id"]) for key in common if a[key]["state"] == b[key]["state"] == "succeeded"]
    moves = Counter(pair for pair in pairs if pair[0] != pair[1])
    same = sum(left == right for left, right in pairs)
    return {
        "keys": {"common": len(common), "only_a": len(a) - len(common), "only_b": len(b) - len(common), "allocated_both": state[True, True],
                 "allocated_a": state[True, False], "allocated_b": state[False, True], "allocated_neither": state[False, False]},
        "agents": {"common": len(agents), "only_a": 0, "only_b": 0},
        "agreement": {"same": same, "of": len(pairs), **share(same, len(pairs)), "kappa": kappa(pairs)},
        "moves": {"keys": len(pairs) - same, "different": len(moves),
                  "items": [{"from": left, "to": right, "count": count} for (left, right), count in sorted(moves.items(), key=lambda item: (-item[1], item[0]))]},
        "truth": truth_of(*truth[:2], agents, a, b, truth[2]) if truth else None,
        "a": side(run_a, a, common, b, agents), "b": side(run_b, b, common, a, agents), "is_going": False,
    }


def differences(found, wanted, where=""):
    """Where two JSON values differ by more than 1e-9, as words."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        names = [f"{where}.{name}: only in one" for name in found.keys() ^ wanted.keys()]
        return names + [text for name in found.keys() & wanted.keys() for text in differences(found[name], wanted[name], f"{where}.{name}")]
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        return [text for i, pair in enumerate(zip(found, wanted)) for text in differences(*pair, f"{where}[{i}]")]
    is_number = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (found, wanted))
    is_same = abs(found - wanted) <= 1e-9 if is_number else found == wanted
    return [] if is_same else [f"{where}: {found!r} instead of {wanted!r}"]
