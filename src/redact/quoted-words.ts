import { redactWords } from './argument.js';

/** Shorter ones would be found in every other word. */
const MIN_LENGTH = 3;

/**
 * Redacts credentials in a text that quotes what somebody typed: an error about an option that there is not, or about a value
 * that is none, repeats it, and it may well be a URL in the wrong place.
 * @param words a command line, each argument of which may stand in the text, also as JSON writes it.
 */
export function redactQuoted(text: string, words: readonly string[]): string {
  const redacted = redactWords(words);
  return words
    .flatMap((word, at): [string, string][] => {
      const shown = redacted[at] ?? '';
      return [[word, shown], ...(valueOf(word, shown) ?? [])];
    })
    .filter(([word, shown]) => word !== shown && word.length >= MIN_LENGTH)
    .sort(([one], [other]) => other.length - one.length)
    .reduce(
      (told, [word, shown]) =>
        told.replaceAll(word, () => shown).replaceAll(JSON.stringify(word).slice(1, -1), () => shown),
      text,
    );
}

/** Of `--option=value` an error may repeat the value alone. */
function valueOf(word: string, shown: string): [string, string][] | undefined {
  const option = /^-{1,2}[A-Za-z][\w-]*=/.exec(word)?.[0];
  if (option === undefined || !shown.startsWith(option)) return undefined;
  return [[word.slice(option.length), shown.slice(option.length)]];
}
