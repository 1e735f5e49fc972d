// Starts the page. What tests read is the same object the page works with.

const app = new App(JSON.parse(document.getElementById("data").textContent));
window.llmcPlan = app;
