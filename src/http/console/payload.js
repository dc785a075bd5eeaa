// Payloads in words: text if they are text, else bytes. Pure.

/** Bytes of a payload that are asked for: a person reads no more. */
export const PAYLOAD = 65_536;
/** What a preview in a table shows, of text and of bytes. */
const CHARACTERS = 40;
const BYTES = 12;

const hex = (data) => [...data].map((b) => b.toString(16).padStart(2, "0")).join(" ");

/** The bytes of a payload as the API sends it. */
export const decoded = (base64) => Uint8Array.from(atob(base64 ?? ""), (c) => c.charCodeAt(0));

/** The text of UTF-8 that can be read, else null. What was cut may end within a character. */
function textOf(data, cut) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(data, { stream: cut });
    return /[\u0000-\u0008\u000b\u000c\u000e-\u001f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}

/** Text, else a dump of bytes, and which of both it is. */
export function readable(data, cut = false) {
  if (data.length === 0) return ["", "Empty"];
  const text = textOf(data, cut);
  if (text !== null) return [text, "Text"];
  const lines = [];
  for (let at = 0; at < data.length; at += 16) {
    const part = data.subarray(at, at + 16);
    const letters = [...part].map((b) => (b > 31 && b < 127 ? String.fromCharCode(b) : ".")).join("");
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex(part).padEnd(47)}  ${letters}`);
  }
  return [lines.join("\n"), "Bytes"];
}

/** The beginning of a payload in one line. */
export function preview(data, cut = false) {
  const text = textOf(data, cut);
  const all = text === null ? data : [...text.replaceAll(/\s+/g, " ")];
  const most = text === null ? BYTES : CHARACTERS;
  const shown = text === null ? hex(all.subarray(0, most)) : all.slice(0, most).join("");
  return all.length > most || cut ? `${shown}…` : shown;
}
