/** A text that others can read, and where it was found. */
export interface Evidence {
  where: string;
  text: string;
}

/** Every form of a secret in a text: as it is, in a URL, in JSON, in a shell's quotes, encoded. */
function formsOf(secret: string): string[] {
  const url = new URL('http://host');
  url.password = secret;
  const encoded = [
    encodeURIComponent(secret),
    url.password,
    new URLSearchParams({ '': secret }).toString().slice(1),
  ];
  const bytes = Buffer.from(secret);
  return [
    secret,
    ...encoded,
    ...encoded.map((text) => text.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase())),
    JSON.stringify(secret).slice(1, -1),
    secret.replaceAll("'", "'\\''"),
    secret.replaceAll("'", "''"),
    bytes.toString('hex'),
    ...['base64', 'base64url'].flatMap((encoding) => inBase64(bytes, encoding as 'base64' | 'base64url')),
  ].filter((form) => form.length >= 8);
}

/** Also after a prefix, as in `user:password`: the position in a group of three bytes changes every letter. */
function inBase64(bytes: Buffer, encoding: 'base64' | 'base64url'): string[] {
  return [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), bytes])
      .toString(encoding)
      .replaceAll('=', '');
    // The first and the last letters depend on the text beside them.
    return text.slice(before === 0 ? 0 : before + 1, -1);
  });
}

/** The places where any form of a secret appears, with the text around it. */
export function leaksIn(evidence: readonly Evidence[], secrets: readonly string[]): string[] {
  const forms = [...new Set(secrets.flatMap(formsOf))];
  return evidence.flatMap(({ where, text }) =>
    forms
      .filter((form) => text.includes(form))
      .map(
        (form) =>
          `${where}: ${text.slice(Math.max(0, text.indexOf(form) - 40), text.indexOf(form) + form.length)}`,
      ),
  );
}
