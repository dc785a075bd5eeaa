// Checks an object against the schema of its operator: node foreign.mjs MODEL KIND <OBJECT.
// Prints what the schema does not let pass.

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [model, kind] = process.argv.slice(2);
const { [kind]: Model } = await import(pathToFileURL(model).href);
try {
    new Model(JSON.parse(readFileSync(0, "utf8"))).validate();
} catch (error) {
    console.log(error.message);
}
