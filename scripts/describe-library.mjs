// Writes the reference in docs/library.md from the docstrings of what src/index.ts exports, as typedoc reads them.
// `node scripts/describe-library.mjs` writes it, with --check it fails when it is not up to date.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Application, ReflectionKind } from 'typedoc';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const TARGET = `${ROOT}docs/library.md`;
/** What stands before it is written by hand. */
const MARK = '<!-- Written by scripts/describe-library.mjs from the docstrings in src/. Change those. -->\n';

/** @typedef {import('typedoc').DeclarationReflection} Declaration */
/** @typedef {import('typedoc').SignatureReflection} Signature */

/** @returns {Promise<string>} */
async function describeLibrary() {
  const application = await Application.bootstrap({
    entryPoints: [`${ROOT}src/index.ts`],
    tsconfig: `${ROOT}tsconfig.build.json`,
    excludeExternals: true,
    preservedTypeAnnotationTags: ['@throws'],
    sort: ['source-order'],
    disableSources: true,
    logLevel: 'Warn',
  });
  const exported = (await application.convert())?.children ?? [];
  const errors = exported.filter(({ name }) => name.endsWith('Error'));
  /** @param {ReflectionKind} kind */
  const ofKind = (kind) => exported.filter((one) => one.kindOf(kind) && !errors.includes(one));
  const sections = [
    ...ofKind(ReflectionKind.Function),
    ...ofKind(ReflectionKind.Class),
    ...ofKind(ReflectionKind.Interface),
    ...errors,
  ];
  const types = ofKind(ReflectionKind.TypeAlias).map((one) => [
    `\`${one.name}\``,
    `${sentences(one)}${choices(one)}`,
  ]);
  return [...sections.map(section), `### Other types\n\n${table(['type', ''], types)}`].join('\n\n');
}

/** @param {Declaration} declaration a function, a class, or an interface */
function section(declaration) {
  const { name, signatures = [], children = [] } = declaration;
  const members = children.filter((one) => !one.kindOf(ReflectionKind.Constructor) && !one.inheritedFrom);
  const parts = [
    `### \`${call(name, signatures)}\``,
    sentences(signatures[0] ?? declaration),
    members.length === 0 ? '' : table([`member of \`${name}\``, 'type', ''], members.map(describeMember)),
  ];
  return parts.filter((part) => part !== '').join('\n\n');
}

/** @param {Declaration} member a method, an accessor, or a field */
function describeMember({ name, flags, signatures = [], ...member }) {
  const signature = signatures[0] ?? member.getSignature;
  const type = typeText(signature?.type ?? member.type);
  return [
    `\`${call(name, signatures)}${flags.isOptional ? '?' : ''}\``,
    // Its own fields are described where the type is.
    `\`${type.startsWith('{') ? 'object[]' : type}\``,
    sentences(signature ?? member),
  ];
}

/**
 * The compiler orders the parts of a union by when it met them, which any change of the sources may change.
 * @param {import('typedoc').SomeType | undefined} type
 */
function typeText(type) {
  if (type?.type !== 'union') return String(type);
  const isNothing = (/** @type {string} */ part) => ['null', 'undefined'].includes(part);
  const parts = type.types.map(String).sort();
  return [...parts.filter((part) => !isNothing(part)), ...parts.filter(isNothing)].join(' | ');
}

/** @param {Declaration} declaration a type, of which the values are said where they are a list of texts */
function choices({ type }) {
  const isList = type?.type === 'union' && type.types.every((one) => one.type === 'literal');
  return isList ? ` One of ${type.types.map((one) => `\`${String(one).slice(1, -1)}\``).join(', ')}.` : '';
}

/**
 * @param {string} name
 * @param {readonly Signature[]} signatures none: not a function
 */
function call(name, [signature]) {
  if (signature === undefined) return name;
  return `${name}(${(signature.parameters ?? []).map((parameter) => parameter.name).join(', ')})`;
}

/**
 * The docstring in one paragraph, with what is returned and thrown.
 * @param {{ comment?: import('typedoc').Comment }} documented
 */
function sentences({ comment }) {
  const tags = (comment?.blockTags ?? []).map(({ tag, typeAnnotation = '', content }) => {
    const type = typeAnnotation.replace(/^\{(.*)\}$/, '`$1` ');
    return `${tag === '@returns' ? 'Returns' : 'Throws'} ${type}${text(content)}`;
  });
  return [text(comment?.summary ?? []), ...tags].join(' ').trim();
}

/** @param {readonly import('typedoc').CommentDisplayPart[]} parts */
function text(parts) {
  return parts
    .map((part) => part.text)
    .join('')
    .replaceAll(/\s+/g, ' ')
    .trim();
}

/**
 * @param {readonly string[]} head
 * @param {readonly (readonly string[])[]} rows
 */
function table(head, rows) {
  const lines = [head, head.map(() => '---'), ...rows].map((cells) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`.replaceAll('|  |', '| |'),
  );
  return lines.join('\n');
}

const current = readFileSync(TARGET, 'utf8');
const [byHand = ''] = current.split(MARK);
const written = `${byHand}${MARK}\n${await describeLibrary()}\n`;
if (!process.argv.includes('--check')) writeFileSync(TARGET, written);
else if (current !== written) {
  console.error('docs/library.md is not what the docstrings in src/ say: node scripts/describe-library.mjs');
  process.exitCode = 1;
}
