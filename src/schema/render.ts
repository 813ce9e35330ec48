const BODY_TAG = '$body$';
const PLACEHOLDERS = /"migrate_lock"|'migrate_lock'|\$body\$/g;

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
  // In one pass: what a name contains is not replaced.
  return sql.replace(PLACEHOLDERS, (found) => {
    if (found === BODY_TAG) return tag;
    return found.startsWith("'") ? quoteLiteral(schema) : quoteIdentifier(schema);
  });
}
