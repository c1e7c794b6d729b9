// Asks for an access key; the cookie that keeps it is out of every script's reach.

import { send } from "./api.js";

const form = document.getElementById("sign-in");
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const said = form.querySelector(".error");
  said.textContent = "";
  try {
    await send("POST", "/ui/session", { key: form.elements.key.value.trim() });
    location.assign(document.body.dataset.next);
  } catch (error) {
    said.textContent = error.message;
    form.elements.key.focus();
  }
});
form.elements.key.focus();
