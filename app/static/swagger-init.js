// Starts Swagger UI. A file of its own: the page's policy allows no inline script.
const root = document.getElementById("swagger-ui");
window.ui = SwaggerUIBundle({ url: root.dataset.url, domNode: root, deepLinking: true, persistAuthorization: false });
