SELECT courses.id, title, credits, department, departments.name AS department_name, description,
    ARRAY(SELECT advisor FROM teaches JOIN advisors ON advisors.id = advisor
        WHERE course = courses.id ORDER BY folded_name, advisor) AS advisor_ids,
    ARRAY(SELECT given_name FROM teaches JOIN advisors ON advisors.id = advisor
        WHERE course = courses.id ORDER BY folded_name, advisor) AS given_names,
    ARRAY(SELECT family_name FROM teaches JOIN advisors ON advisors.id = advisor
        WHERE course = courses.id ORDER BY folded_name, advisor) AS family_names
FROM courses JOIN departments ON departments.id = department
WHERE courses.id = $1
