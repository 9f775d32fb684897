/** Checks of rules that look at one rule only. */
import { quote, replacement } from "../report.ts";
import type { Block, RuleStatement, ShorthandRule, Term, Variable } from "../syntax.ts";
import { callsOf, expressionsOf, termsOf, writtenExpressions } from "../walk.ts";
import type { Context } from "./context.ts";

/** A list after `in` holds values only. The grammar allows variables, but their meaning there is undefined. */
export function checkLists({ program, report }: Context): void {
  for (const written of writtenExpressions(program)) {
    for (const expression of expressionsOf(written)) {
      if (expression.kind !== "in") continue;
      for (const item of expression.list.items) {
        if (item.kind !== "variable" && item.kind !== "now") continue;
        report.error("rule/list-element", item.span, "a list holds values only", {
          hint: "compare with `=`, joined by `or`",
        });
      }
    }
  }
}

/** A variable that occurs once is a mistake or means "any value". `_` or `_name` make the second meaning explicit. */
export function checkSingletons(context: Context): void {
  for (const statement of context.program.statements) {
    if (statement.kind === "rule" && !statement.flawed) reportSingletons(termsOfRule(statement), new Set(), context);
    if (statement.kind !== "block") continue;
    for (const rule of statement.rules) {
      const terms = callsOf(rule.body).flatMap((call) => call.args);
      reportSingletons(terms, implicitVariables(statement, rule), context);
    }
  }
}

function* termsOfRule({ head, body }: RuleStatement): Generator<Term> {
  for (const param of head.params) yield param.term;
  if (body) yield* termsOf(body);
}

function implicitVariables(block: Block, { head }: ShorthandRule): ReadonlySet<string> {
  const names = block.blockKind === "global" ? ["actor"] : ["actor", "resource"];
  return new Set(head.quoted ? names : [...names, head.text]);
}

function reportSingletons(terms: Iterable<Term>, known: ReadonlySet<string>, { report }: Context): void {
  const once = new Map<string, Variable | undefined>();
  for (const term of terms) {
    if (term.kind === "variable") once.set(term.name, once.has(term.name) ? undefined : term);
  }
  for (const variable of once.values()) {
    if (!variable || variable.name.startsWith("_") || known.has(variable.name)) continue;
    report.warning("rule/singleton", variable.span, `variable ${quote(variable.name)} occurs only once in this rule`, {
      hint: `if any value is meant, write ${quote(`_${variable.name}`)} or \`_\``,
      fixes: [replacement(variable.span, once.has(`_${variable.name}`) ? "_" : `_${variable.name}`)],
    });
  }
}

/** Statements of the older library that the grammar accepts and that have no meaning in the cloud dialect. */
export function checkUnsupported({ program, report }: Context): void {
  for (const statement of program.statements) {
    if (statement.kind === "ruleType") {
      report.error("rule/unsupported-type", statement.span, "rule types (`type …;`) are not supported", {
        hint: "remove it; to accept a kind of fact that no rule uses, write `declare name(Type, …);`",
      });
    }
    if (statement.kind === "inlineQuery") {
      report.error("rule/unsupported-query", statement.span, "inline queries (`?= …;`) are not supported", {
        hint: 'write a test: `test "name" { assert …; }`',
      });
    }
  }
}
