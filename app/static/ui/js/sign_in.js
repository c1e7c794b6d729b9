// Asks for an access key; the cookie that keeps it is out of every script's reach.

import { send } from "./api.js";
import { h, show } from "./dom.js";

const form = document.getElementById("sign-in");
const said = document.getElementById("said");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  show(said);
  try {
    await send("POST", "/ui/session", { key: form.elements.key.value.trim() });
    location.assign(document.body.dataset.next);
  } catch (error) {
    show(said, h("p", { class: "error", role: "alert" }, error.message));
    form.elements.key.focus();
  }
});
form.elements.key.focus();
