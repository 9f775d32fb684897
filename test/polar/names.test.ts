/** Which characters a name can have. Names that look alike are dangerous in a policy. */
import { expect, test } from "bun:test";
import { tokenize } from "../../src/polar/lexer.ts";
import { createReport } from "../../src/polar/report.ts";

/** Whether the character can be in a name, and whether it can begin one. */
function roleOf(character: string): { readonly within: boolean; readonly first: boolean } {
  const isName = (text: string): boolean => {
    const { tokens } = tokenize({ name: "policy.polar", text }, createReport());
    return tokens[0]?.kind === "identifier" && tokens[0].text === text;
  };
  return { within: isName(`a${character}b`), first: isName(`${character}b`) };
}

test.each(["a", "Z", "_", "ä", "ß", "ナ", "Ж", "𝒳", "😀", "²", "\u{80a}", "\u{10fffd}"])(
  "%j is a letter",
  (character) => {
    expect(roleOf(character)).toEqual({ within: true, first: true });
  },
);

test.each(["0", "9"])("%j can be in a name, but not begin it", (character) => {
  expect(roleOf(character)).toEqual({ within: true, first: false });
});

test.each([
  ...[..." \t\n\u{a0}\u{2028}\u{3000}\u{feff}"],
  ...[..."\0\u{1b}\u{7f}\u{85}\u{ad}\u{200b}\u{202e}\u{2066}\u{e0041}"],
  ...["\ud800", "\udfff"],
  ...[..."!\"#$%&'()*+,-./:;<=>?@[\\]^`{|}~"],
  ...[..."«»‘’“”‹›„‚＂＇〝〞〟"],
])("%j is no part of a name", (character) => {
  expect(roleOf(character)).toEqual({ within: false, first: false });
});
