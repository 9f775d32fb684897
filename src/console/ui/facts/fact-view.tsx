/** A fact, whose objects are links to their pages. */
import { Fragment } from "preact";
import { routeTo } from "../state/route.ts";
import { type Fact, formatValue, isObject, type Value } from "./fact-text.ts";

export function FactView({ fact: { predicate, args } }: { readonly fact: Fact }) {
  return (
    <span class="fact">
      {`${predicate}(`}
      {args.map((value, index) => (
        <Fragment key={index}>
          {index > 0 && ", "}
          <ValueView value={value} />
        </Fragment>
      ))}
      {")"}
    </span>
  );
}

export function ValueView({ value }: { readonly value: Value }) {
  if (!isObject(value)) return <>{formatValue(value)}</>;
  return <a href={objectRoute(value)}>{formatValue(value)}</a>;
}

export function objectRoute({ type, id }: Value): string {
  return routeTo("object", [type, id]);
}
