/** A tree of reasons: rules with their source, facts with their origin, paths, and what failed attempts lack. */
import { type Fact, formatFact, type Value } from "../facts/fact-text.ts";
import { FactView, ValueView } from "../facts/fact-view.tsx";
import { routeTo } from "../state/route.ts";
import { askTexts } from "../texts/ask.ts";
import type { Rule, TreeNode } from "./explanation.ts";

const words = askTexts.tree;

export interface DerivationProps {
  readonly node: TreeNode;
  /** Asks again with the context fact. */
  readonly onAssume: (fact: Fact) => void;
  /** Stores the fact, if the login may. */
  readonly onAdd: (fact: Fact) => void;
  readonly mayAdd: (fact: Fact) => boolean;
}

export function Derivation({ node, ...actions }: DerivationProps) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={words.label}>
      <ul class="tree">
        <Node node={node} isOpen {...actions} />
      </ul>
    </div>
  );
}

interface NodeProps extends DerivationProps {
  readonly isOpen: boolean;
}

function Node({ node, isOpen, ...actions }: NodeProps) {
  const { children, kind, hasMore } = node;
  // The nearest attempt is the first one.
  const list = children.length > 0 && (
    <ul>
      {children.map((child, index) => (
        <Node key={index} node={child} isOpen={isOpen && (child.kind !== "attempt" || index === 0)} {...actions} />
      ))}
    </ul>
  );
  return (
    <li class={`is-${kind}`}>
      <Line node={node} {...actions} />
      {children.length > 0 && node.rule !== undefined ? (
        <details open={isOpen}>
          <summary>
            <RuleText rule={node.rule} />
          </summary>
          {list}
        </details>
      ) : (
        list
      )}
      {hasMore === true && <p class="help">{words.hasMore}</p>}
    </li>
  );
}

function Line({ node, onAssume, onAdd, mayAdd }: DerivationProps) {
  const { kind, text, fact, origin, path, addable, because, didYouMean } = node;
  return (
    <div class="line">
      {kind === "missing" && <strong class="failure">{words.missing}</strong>}
      {kind === "unmet" && <strong class="failure">{words.unmet}</strong>}
      {kind === "attempt" ? words.attempt : fact ? <FactView fact={fact} /> : <code class="fact">{text}</code>}
      {origin !== undefined && <span class={`origin ${origin}`}>{words.origins[origin]}</span>}
      {kind === "condition" && <span class="origin">{words.condition}</span>}
      {(kind === "again" || kind === "cut") && <span class="origin">{words[kind]}</span>}
      <RuleSource node={node} />
      {because !== undefined && <span>{words.because(because)}</span>}
      {didYouMean !== undefined && <span>{words.didYouMean(didYouMean)}</span>}
      {path !== undefined && <Path values={path} />}
      {addable && (
        <>
          <button type="button" aria-label={words.assumeFact(formatFact(addable))} onClick={() => onAssume(addable)}>
            {words.assume}
          </button>
          {mayAdd(addable) && (
            <button type="button" aria-label={words.addFact(formatFact(addable))} onClick={() => onAdd(addable)}>
              {words.add}
            </button>
          )}
        </>
      )}
    </div>
  );
}

function RuleText({ rule }: { readonly rule: Rule | null }) {
  return rule === null ? <>{words.defaultRule}</> : <code>{rule.text}</code>;
}

/** A link to the line of the rule. It cannot be a part of what opens and closes. */
function RuleSource({ node: { rule } }: { readonly node: TreeNode }) {
  if (!rule) return null;
  const { file, line } = rule;
  const query = { ...(file !== "" && { file }), line: String(line) };
  return (
    <a class="source" href={routeTo("policy", [], query)}>
      {words.ruleAt(file, line)}
    </a>
  );
}

function Path({ values }: { readonly values: readonly Value[] }) {
  return (
    <span class="path">
      {words.path}{" "}
      {values.map((value, index) => (
        <span key={index} class="fact">
          {index > 0 && " → "}
          <ValueView value={value} />
        </span>
      ))}
    </span>
  );
}
