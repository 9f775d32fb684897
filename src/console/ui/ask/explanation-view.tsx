/** An explanation as a tree: rules with their source, facts with their origin, paths, and what failed attempts lack. */
import { type Fact, formatFact, type Value } from "../facts/fact-text.ts";
import { FactView, ValueView } from "../facts/fact-view.tsx";
import { routeTo } from "../state/route.ts";
import { askTexts } from "../texts/ask.ts";
import { type Explanation, type Rule, treeOf, type TreeNode } from "./explanation.ts";

const words = askTexts.tree;

/** What a reader can do with an explanation of the stored facts and the stored policy of now. */
export interface TreeActions {
  /** Asks again with the context fact. */
  readonly onAssume: (fact: Fact) => void;
  /** Stores the fact, if the login may. */
  readonly onAdd: (fact: Fact) => void;
  readonly mayAdd: (fact: Fact) => boolean;
}

interface ExplanationProps {
  readonly explanation: Explanation;
  /** Undefined for another time or another policy: its rules have no line in the screen Policy. */
  readonly actions?: TreeActions;
}

export function ExplanationView({ explanation, actions }: ExplanationProps) {
  const { policy, unknown, truncated } = explanation;
  if (policy === null) return <p>{words.noPolicy}</p>;
  const tree = treeOf(explanation);
  return (
    <>
      {unknown.map((text) => (
        <p key={text}>{text}</p>
      ))}
      {tree === undefined ? (
        <p>{words.noReasons}</p>
      ) : (
        <div class="scroll" tabIndex={0} role="region" aria-label={words.label}>
          <ul class="tree">
            <Node node={tree} isOpen actions={actions} />
          </ul>
        </div>
      )}
      {truncated !== null && <p class="help">{truncated.message}</p>}
    </>
  );
}

interface LineProps {
  readonly node: TreeNode;
  readonly actions: TreeActions | undefined;
}

function Node({ node, isOpen, actions }: LineProps & { readonly isOpen: boolean }) {
  const { children, kind, hasMore } = node;
  // The nearest attempt is the first one.
  const list = children.length > 0 && (
    <ul>
      {children.map((child, index) => (
        <Node key={index} node={child} isOpen={isOpen && (child.kind !== "attempt" || index === 0)} actions={actions} />
      ))}
    </ul>
  );
  return (
    <li class={`is-${kind}`}>
      <Line node={node} actions={actions} />
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

function Line({ node, actions }: LineProps) {
  const { kind, text, fact, origin, rule, path, times, because, didYouMean } = node;
  return (
    <div class="line">
      {kind === "missing" && <strong class="failure">{words.missing}</strong>}
      {kind === "unmet" && <strong class="failure">{words.unmet}</strong>}
      {kind === "attempt" ? words.attempt : fact ? <FactView fact={fact} /> : <code class="fact">{text}</code>}
      {origin !== undefined && <span class={`origin ${origin}`}>{words.origins[origin]}</span>}
      {kind === "condition" && <span class="origin">{words.condition}</span>}
      {(kind === "again" || kind === "cut") && <span class="origin">{words[kind]}</span>}
      {rule && <RuleSource rule={rule} isLink={actions !== undefined} />}
      {because !== undefined && <span>{words.because(because)}</span>}
      {didYouMean !== undefined && <span>{words.didYouMean(didYouMean)}</span>}
      {path !== undefined && <Path values={path} />}
      {times !== undefined && <span>{words.times(times)}</span>}
      {node.addable && actions && <AddButtons fact={node.addable} {...actions} />}
    </div>
  );
}

function AddButtons({ fact, onAssume, onAdd, mayAdd }: TreeActions & { readonly fact: Fact }) {
  return (
    <>
      <button type="button" aria-label={words.assumeFact(formatFact(fact))} onClick={() => onAssume(fact)}>
        {words.assume}
      </button>
      {mayAdd(fact) && (
        <button type="button" aria-label={words.addFact(formatFact(fact))} onClick={() => onAdd(fact)}>
          {words.add}
        </button>
      )}
    </>
  );
}

function RuleText({ rule }: { readonly rule: Rule | null }) {
  return rule === null ? <>{words.defaultRule}</> : <code>{rule.text}</code>;
}

/** The line of the rule. A link cannot be a part of what opens and closes. */
function RuleSource({ rule: { file, line }, isLink }: { readonly rule: Rule; readonly isLink: boolean }) {
  if (!isLink) return <span class="source">{words.ruleAt(file, line)}</span>;
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
