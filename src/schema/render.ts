const PLACEHOLDER = '"migrate_lock"';
const LITERAL_PLACEHOLDER = "'migrate_lock'";
const BODY_TAG = '$body$';

export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A text as a literal of SQL. What the program sends are parameters, but for the schema's name. */
export function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes('\\') ? `E${quoted.replaceAll('\\', '\\\\')}` : quoted;
}

/** Puts the schema's quoted name into a text of sql/, as an identifier or as a literal. It is the one thing that is interpolated. */
export function renderSql(sql: string, schema: string): string {
  let tag = BODY_TAG;
  // A name that contains the delimiter of the function bodies would end them.
  for (let n = 1; schema.includes(tag); n++) tag = `$body${n}$`;
  // Replacer functions: `$&` and the like in a name are no patterns.
  return sql
    .replaceAll(BODY_TAG, () => tag)
    .replaceAll(LITERAL_PLACEHOLDER, () => quoteLiteral(schema))
    .replaceAll(PLACEHOLDER, () => quoteIdentifier(schema));
}
