export const REDACTED = '***';

/** Shorter ones would match in every other word. */
const MIN_LENGTH = 3;

/**
 * Replaces the secrets wherever they occur in the text: as they are, decoded, and encoded for a URL, JSON or a shell.
 * A secret of one or two characters is not redacted.
 */
export function redactSecrets(text: string, secrets: readonly string[]): string {
  const forms = new Set(secrets.flatMap(formsOf));
  // The longest first: one may be part of another.
  return [...forms]
    .filter((form) => form.length >= MIN_LENGTH && form !== REDACTED)
    .sort((one, other) => other.length - one.length)
    .reduce((redacted, form) => redacted.replaceAll(form, REDACTED), text);
}

function formsOf(secret: string): string[] {
  const plain = [secret, orItself(decodeURIComponent, secret)].filter((form) => form.length >= MIN_LENGTH);
  return plain.flatMap((form) => {
    const encoded = [
      orItself(encodeURIComponent, form),
      new URLSearchParams({ '': form }).toString().slice(1),
      urlUserinfo(form),
    ];
    const lowerCase = encoded.map((text) => text.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()));
    return [form, ...encoded, ...lowerCase, JSON.stringify(form).slice(1, -1), form.replaceAll("'", "'\\''")];
  });
}

/** Both throw for text that is not well-formed. */
function orItself(convert: (text: string) => string, text: string): string {
  try {
    return convert(text);
  } catch {
    return text;
  }
}

/** A URL object encodes other characters than encodeURIComponent does. */
function urlUserinfo(text: string): string {
  const url = new URL('http://host');
  url.password = text;
  return url.password;
}
